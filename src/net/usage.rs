//! What this process takes of its machine: memory and file descriptors.

use std::fs;

/// A process's resident memory, in bytes; nothing where the system does not say.
pub fn memory() -> u64 {
    #[cfg(target_os = "linux")]
    return resident_pages().unwrap_or(0) * rustix::param::page_size() as u64;
    #[cfg(not(target_os = "linux"))]
    0
}

#[cfg(target_os = "linux")]
fn resident_pages() -> Option<u64> {
    // proc_pid_statm(5): size, resident, …
    fs::read_to_string("/proc/self/statm").ok()?.split_whitespace().nth(1)?.parse().ok()
}

/// What memory is held to: the smaller of the control group's limit and the address space's, if there is one.
pub fn memory_limit() -> Option<u64> {
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let group = group.into_iter().chain(own_groups().iter().map(String::as_str)).filter_map(limit_in).min();
    #[cfg(unix)]
    let address_space = rustix::process::getrlimit(rustix::process::Resource::As).current;
    #[cfg(not(unix))]
    let address_space = None;
    group.into_iter().chain(address_space).min()
}

/// A limit's file; version 1 writes a number near the largest for none.
fn limit_in(path: &str) -> Option<u64> {
    const NONE: u64 = 1 << 60;
    fs::read_to_string(path).ok()?.trim().parse().ok().filter(|limit| *limit < NONE)
}

/// Where this process's own group's limits stand (cgroups(7)).
fn own_groups() -> Vec<String> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        match (fields.next()?, fields.next()?) {
            ("", path) => Some(format!("/sys/fs/cgroup{path}/memory.max")),
            (kinds, path) if kinds.split(',').any(|kind| kind == "memory") => {
                Some(format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes"))
            }
            _ => None,
        }
    };
    groups.lines().filter_map(path).collect()
}

/// Open file descriptors, and how many there may be.
pub fn descriptors() -> (u64, u64) {
    let open = fs::read_dir("/proc/self/fd").map(Iterator::count).unwrap_or(0);
    #[cfg(unix)]
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    let limit = None;
    // The directory that is being read has one too.
    ((open as u64).saturating_sub(1), limit.unwrap_or(u64::MAX))
}

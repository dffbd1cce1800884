//! The resources that this process uses, and their limits: memory, file descriptors, disk space.

use std::fs;
use std::path::Path;

/// This process's resident memory, in bytes; 0 if the system does not report it.
pub fn resident_memory() -> u64 {
    statm(1).unwrap_or(0)
}

/// Resident memory without the pages of files, such as the program's own code, which the kernel drops when it needs
/// room; in bytes, and 0 if the system does not report it.
pub fn anonymous_memory() -> u64 {
    resident_memory().saturating_sub(statm(2).unwrap_or(0))
}

/// Memory in use and its limit, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUse {
    /// What is used of it.
    pub used: u64,
    /// What may be used.
    pub limit: u64,
}

impl MemoryUse {
    /// The used part, in thousandths.
    pub fn permille(self) -> u64 {
        self.used.saturating_mul(1000) / self.limit.max(1)
    }
}

/// The system's limits on this process's memory: of its control group, and of its address space.
pub fn memory_limits() -> impl Iterator<Item = MemoryUse> {
    let of_space = address_space_limit().map(|limit| MemoryUse { used: statm(0).unwrap_or(0), limit });
    tightest_group().into_iter().chain(of_space)
}

/// The number of open file descriptors, and its limit.
pub fn descriptors() -> (u64, u64) {
    // The first is Linux's. Every Unix has the second, but a minimal Linux may lack it.
    let open = ["/proc/self/fd", "/dev/fd"].iter().find_map(|path| fs::read_dir(path).ok()).map_or(0, Iterator::count);
    #[cfg(unix)]
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    #[cfg(not(unix))]
    let limit = u64::MAX;
    // Without the descriptor of the directory that is being read.
    ((open as u64).saturating_sub(1), limit)
}

/// The free space for this user and the size of the disk that holds `path`, in bytes; `None` if the system does not
/// report it.
#[cfg(unix)]
pub fn disk_space(path: &Path) -> Option<(u64, u64)> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some((disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize)))
}

/// Returns `None`: not implemented on this system.
#[cfg(not(unix))]
pub fn disk_space(_: &Path) -> Option<(u64, u64)> {
    None
}

/// Reads a field of proc_pid_statm(5), in bytes: 0 is the address space, 1 is resident memory, 2 its pages of files.
#[cfg(target_os = "linux")]
fn statm(field: usize) -> Option<u64> {
    let pages: u64 = fs::read_to_string("/proc/self/statm").ok()?.split_whitespace().nth(field)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(not(target_os = "linux"))]
fn statm(_: usize) -> Option<u64> {
    None
}

fn address_space_limit() -> Option<u64> {
    #[cfg(unix)]
    return rustix::process::getrlimit(rustix::process::Resource::As).current;
    #[cfg(not(unix))]
    None
}

/// The files of a control group by version: limit, usage, and the line of the page cache in `memory.stat`.
const GROUP_FILES: [(&str, &str, &str); 2] =
    [("memory.max", "memory.current", "file "), ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache ")];

/// Finds the control group with the lowest limit around this process.
fn tightest_group() -> Option<MemoryUse> {
    group_paths()
        .iter()
        .flat_map(|path| GROUP_FILES.iter().filter_map(move |version| read(path, version)))
        .min_by_key(|group| group.limit)
}

/// Reads a control group, without its page cache, which the kernel reclaims under pressure; `None` if it has no limit.
fn read(path: &str, (limit, used, cache): &(&str, &str, &str)) -> Option<MemoryUse> {
    // Version 1 shows no limit as a number near the largest.
    const NONE: u64 = 1 << 60;
    let number = |name: &str| fs::read_to_string(format!("{path}/{name}")).ok()?.trim().parse::<u64>().ok();
    let limit = number(limit).filter(|limit| *limit < NONE)?;
    let statistics = fs::read_to_string(format!("{path}/memory.stat")).unwrap_or_default();
    let cached = statistics.lines().find_map(|line| line.strip_prefix(cache)?.trim().parse().ok());
    Some(MemoryUse { limit, used: number(used)?.saturating_sub(cached.unwrap_or(0)) })
}

/// The directories of this process's control groups and their ancestors (cgroups(7)).
fn group_paths() -> Vec<String> {
    let lines = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let paths = lines.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (kinds, path) = (fields.next()?, fields.next()?);
        match kinds {
            "" => Some(("/sys/fs/cgroup", path.to_owned())),
            kinds if kinds.split(',').any(|kind| kind == "memory") => Some(("/sys/fs/cgroup/memory", path.to_owned())),
            _ => None,
        }
    });
    let with_ancestors = |(root, path): (&str, String)| {
        let ends = path.match_indices('/').map(|(index, _)| index).chain([path.len()]);
        ends.map(|end| format!("{root}{}", &path[..end])).collect::<Vec<_>>()
    };
    paths.flat_map(with_ancestors).collect()
}

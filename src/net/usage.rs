//! What this process takes of its machine, and what it may: memory and file descriptors.

use std::fs;
use std::path::Path;

/// A process's resident memory, in bytes; 0 where the system does not say.
pub fn resident_memory() -> u64 {
    statm(1).unwrap_or(0)
}

/// What memory is held to from outside: by a control group, or a limit of the address space.
pub fn memory_limit() -> Option<u64> {
    tightest_group().map(|group| group.limit).into_iter().chain(address_space_limit()).min()
}

/// How much of that is in use, in thousandths.
pub fn memory_permille() -> Option<u64> {
    let share = |used: u64, limit: u64| used.saturating_mul(1000) / limit.max(1);
    let of_group = tightest_group().map(|group| share(group.used, group.limit));
    let of_space = address_space_limit().map(|limit| share(statm(0).unwrap_or(0), limit));
    of_group.into_iter().chain(of_space).max()
}

/// Open file descriptors, and how many there may be.
pub fn descriptors() -> (u64, u64) {
    // The first is Linux's; every Unix has the second, which on a small Linux nobody may have made.
    let open = ["/proc/self/fd", "/dev/fd"].iter().find_map(|path| fs::read_dir(path).ok()).map_or(0, Iterator::count);
    #[cfg(unix)]
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    #[cfg(not(unix))]
    let limit = u64::MAX;
    // The directory that is being read has one too.
    ((open as u64).saturating_sub(1), limit)
}

/// What is free of the disk with this place, for users like this one, and how large it is: in bytes, if the system tells.
#[cfg(unix)]
pub fn disk_space(path: &Path) -> Option<(u64, u64)> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some((disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize)))
}

/// Not told here.
#[cfg(not(unix))]
pub fn disk_space(_: &Path) -> Option<(u64, u64)> {
    None
}

/// A field of proc_pid_statm(5), in bytes: 0 is the address space, 1 what is resident.
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

/// The tightest control group around this process.
struct ControlGroup {
    limit: u64,
    /// Without the page cache, which the kernel gives back when it must.
    used: u64,
}

/// Where a group's numbers stand in each version of control groups: limit, use, and the cache's line in `memory.stat`.
const GROUP_FILES: [(&str, &str, &str); 2] =
    [("memory.max", "memory.current", "file "), ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache ")];

fn tightest_group() -> Option<ControlGroup> {
    group_paths()
        .iter()
        .flat_map(|path| GROUP_FILES.iter().filter_map(move |version| read(path, version)))
        .min_by_key(|group| group.limit)
}

fn read(path: &str, (limit, used, cache): &(&str, &str, &str)) -> Option<ControlGroup> {
    // Version 1 writes a number near the largest for none.
    const NONE: u64 = 1 << 60;
    let number = |name: &str| fs::read_to_string(format!("{path}/{name}")).ok()?.trim().parse::<u64>().ok();
    let limit = number(limit).filter(|limit| *limit < NONE)?;
    let statistics = fs::read_to_string(format!("{path}/memory.stat")).unwrap_or_default();
    let cached = statistics.lines().find_map(|line| line.strip_prefix(cache)?.trim().parse().ok());
    Some(ControlGroup { limit, used: number(used)?.saturating_sub(cached.unwrap_or(0)) })
}

/// Where this process's groups may stand (cgroups(7)), each with all those around it.
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
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.map(|end| format!("{root}{}", &path[..end])).collect::<Vec<_>>()
    };
    paths.flat_map(with_ancestors).collect()
}

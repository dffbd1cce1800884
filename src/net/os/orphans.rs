//! The duty of PID 1, as in a container: a process whose parent has exited becomes its child, and once it has exited
//! itself stays as a zombie until PID 1 waits for it.

pub use system::{Orphans, OwnChild, spawn};

#[cfg(target_os = "linux")]
mod system {
    use std::collections::BTreeSet;
    use std::{fs, io};

    use parking_lot::Mutex;
    use rustix::process::{Pid, WaitOptions, getpid, waitpid};
    use tokio::process::{Child, Command};
    use tokio::signal::unix::{Signal, SignalKind, signal};

    /// The children that somebody else waits for.
    static OWN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

    /// Starts a command whose exit status the caller waits for. [`Orphans::reap`] leaves it alone while the guard exists,
    /// which must be dropped after the child.
    pub fn spawn(command: &mut Command) -> io::Result<(OwnChild, Child)> {
        // Locked until the child is listed: it may exit, and would be reaped, before.
        let mut own = OWN.lock();
        let child = command.spawn()?;
        own.extend(child.id());
        let id = child.id();
        Ok((OwnChild(id), child))
    }

    /// A child that is not reaped as an orphan, until this is dropped.
    pub struct OwnChild(Option<u32>);

    impl Drop for OwnChild {
        fn drop(&mut self) {
            if let Some(id) = self.0 {
                OWN.lock().remove(&id);
            }
        }
    }

    /// The orphans of this process, if it is PID 1.
    pub struct Orphans(Option<Signal>);

    impl Orphans {
        /// Starts listening for children that exit.
        pub fn listen() -> io::Result<Self> {
            let is_init = getpid().is_init();
            is_init.then(|| signal(SignalKind::child())).transpose().map(Self)
        }

        /// Waits for every orphan that exits; never returns.
        pub async fn reap(&mut self) {
            while let Some(exited) = &mut self.0 {
                if exited.recv().await.is_none() {
                    break;
                }
                reap_zombies();
            }
            std::future::pending().await
        }
    }

    fn reap_zombies() {
        let own = OWN.lock();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        for id in ids.filter(|id| !own.contains(id)) {
            // Fails if the process is gone meanwhile.
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
            if is_zombie_of_init(&stat) && pid.is_some() {
                let _ = waitpid(pid, WaitOptions::NOHANG);
            }
        }
    }

    /// Reads the state and the parent from `/proc/PID/stat` (proc_pid_stat(5)). The name before them may contain
    /// anything.
    fn is_zombie_of_init(stat: &str) -> bool {
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z 1 "))
    }

    #[cfg(test)]
    mod tests {
        use super::is_zombie_of_init;

        #[test]
        fn only_a_zombie_whose_parent_is_pid_1_is_reaped_whatever_its_name() {
            assert!(is_zombie_of_init("31 (sleep) Z 1 30 30 0 -1"));
            assert!(is_zombie_of_init("31 (a) S 7 (b) Z 1 30 30 0 -1"));
            assert!(!is_zombie_of_init("31 (sleep) S 1 30 30 0 -1"));
            assert!(!is_zombie_of_init("31 (a) Z 1 ) Z 7 30 30 0 -1"));
            assert!(!is_zombie_of_init(""));
        }
    }
}

/// Only Linux runs containers.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    use tokio::process::{Child, Command};

    /// Starts a command.
    pub fn spawn(command: &mut Command) -> io::Result<(OwnChild, Child)> {
        Ok((OwnChild, command.spawn()?))
    }

    /// Nothing: no orphan is reaped.
    pub struct OwnChild;

    /// Nothing: no orphan is reaped.
    pub struct Orphans;

    impl Orphans {
        /// Does nothing.
        pub fn listen() -> io::Result<Self> {
            Ok(Self)
        }

        /// Never returns.
        pub async fn reap(&mut self) {
            std::future::pending().await
        }
    }
}

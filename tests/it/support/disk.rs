//! A disk small enough to be filled, for a hub's state.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::machine::Machine;

/// The hub's state in a home.
pub(crate) const STATE: &str = ".local/share/devstream/hub";

/// Set where a test runs in a namespace of its own.
const IN_NAMESPACE: &str = "DEVSTREAM_TEST_IN_NAMESPACE";

/// Runs a test with a hub's state on a small disk: mounted here by root, else in a namespace where this user is root.
pub(crate) fn on_a_small_disk(name: &str, test: impl FnOnce(&Machine, &SmallDisk)) {
    let machine = Machine::new();
    let state = machine.home().join(STATE);
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&state).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=1m,mode=700", "devstream-test"]).arg(&state);
    let mounted = mount.output().expect("mount is installed");
    if mounted.status.success() {
        let disk = SmallDisk { filler: state.join("filler"), state };
        return test(&machine, &disk);
    }
    let is_second = std::env::var_os(IN_NAMESPACE).is_some();
    assert!(!is_second, "a small disk can neither be mounted nor in a namespace of its own: {mounted:?}");
    let mut again = Command::new("unshare");
    again.args(["-rm", "--"]).arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
    let done = again.env(IN_NAMESPACE, "1").output().expect("unshare is installed");
    assert!(done.status.success(), "{done:?}");
}

/// A disk that the hub's state is on.
pub(crate) struct SmallDisk {
    state: PathBuf,
    filler: PathBuf,
}

impl SmallDisk {
    /// Fills the disk to the last page.
    pub(crate) fn fill(&self) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.filler).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    /// Frees the space.
    pub(crate) fn free(&self) {
        fs::remove_file(&self.filler).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What still has it open keeps it until then.
        assert!(Command::new("umount").arg("--lazy").arg(&self.state).status().unwrap().success());
    }
}

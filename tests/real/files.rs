//! Files over OpenSSH: a tree that rsync keeps equal at both ends, and a repository that git clones from and pushes to.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::support::bytes::{MIB, Pattern};
use crate::support::roles::ThreeMachines;
use crate::support::sshd::Sshd;
use crate::{run, tunnel_to};

/// An SSH server at the device's end.
struct Fixture {
    tunnel: ThreeMachines,
    sshd: Sshd,
}

impl Fixture {
    fn new() -> Self {
        let sshd = Sshd::start();
        Self { tunnel: tunnel_to(sshd.port), sshd }
    }

    /// The client as programs are told about it that bring its last arguments themselves.
    fn ssh(&self) -> String {
        format!("ssh -F none {} -p {}", self.sshd.options().join(" "), self.tunnel.proxy.port)
    }

    fn laptop(&self) -> &Path {
        self.tunnel.laptop.home()
    }

    fn device(&self) -> &Path {
        self.tunnel.device.home()
    }
}

/// Everything below a directory, by its path there: the mode, and what it is or holds.
type Tree = BTreeMap<PathBuf, (u32, Vec<u8>)>;

#[test]
fn rsync_keeps_a_tree_equal_at_both_ends() {
    let fixture = Fixture::new();
    let (here, there, back) =
        (fixture.laptop().join("tree"), fixture.device().join("tree"), fixture.laptop().join("back"));
    make_tree(&here);
    let far = format!("127.0.0.1:{}/", there.display());
    let rsync = |part: &str, from: &str, to: &str| {
        let mut command = fixture.tunnel.laptop.command("rsync");
        command.args(["--archive", "--checksum", "--delete", "--itemize-changes", "--rsh", &fixture.ssh(), from, to]);
        run(part, &mut command)
    };
    let (near, copy) = (format!("{}/", here.display()), format!("{}/", back.display()));
    rsync("rsync to the device", &near, &far);
    assert!(tree(&there) == tree(&here), "the device's tree is not the laptop's");

    // A difference within a large file, a new file, and one that is gone.
    let mut large = fs::read(here.join("large")).unwrap();
    large[5_000_000] ^= 1;
    fs::write(here.join("large"), large).unwrap();
    fs::write(here.join("new"), "new\n").unwrap();
    fs::remove_file(here.join("a folder/file 7")).unwrap();
    rsync("rsync of changes", &near, &far);
    assert!(tree(&there) == tree(&here), "the device's tree is not the laptop's after the changes");

    rsync("rsync from the device", &far, &copy);
    assert!(tree(&back) == tree(&here), "what came back is not what went");
    assert_eq!(rsync("rsync once more", &near, &far), "", "by their checksums, nothing is left to do");
}

#[test]
fn git_clones_pushes_and_fetches() {
    let fixture = Fixture::new();
    let (laptop, origin) = (fixture.laptop(), fixture.device().join("origin.git"));
    let url = format!("ssh://127.0.0.1:{}{}", fixture.tunnel.proxy.port, origin.display());
    let git = |part: &str, directory: &Path, arguments: &[&str]| {
        let mut command = fixture.tunnel.laptop.command("git");
        command.env("GIT_SSH_COMMAND", fixture.ssh()).env("GIT_CONFIG_NOSYSTEM", "1").current_dir(directory);
        command.args(["-c", "user.name=Alice", "-c", "user.email=alice@example.com"]);
        run(part, command.args(arguments)).trim().to_owned()
    };
    git("git init on the device", fixture.device(), &["init", "-q", "--bare", "-b", "main", "origin.git"]);
    git("git clone of nothing", laptop, &["clone", "-q", &url, "work"]);
    let work = laptop.join("work");
    git("git checkout", &work, &["checkout", "-q", "-B", "main"]);
    make_tree(&work);
    git("git add", &work, &["add", "--all"]);
    git("git commit", &work, &["commit", "-q", "-m", "Everything"]);
    git("git push", &work, &["push", "-q", "origin", "main"]);
    let head = git("git rev-parse", &work, &["rev-parse", "HEAD"]);
    assert_eq!(git("git rev-parse on the device", &origin, &["rev-parse", "main"]), head, "the push did not arrive");
    git("git fsck on the device", &origin, &["fsck", "--strict", "--full"]);

    git("git clone", laptop, &["clone", "-q", &url, "other"]);
    let other = laptop.join("other");
    assert_eq!(git("git rev-parse in the clone", &other, &["rev-parse", "HEAD"]), head, "the clone is another");
    git("git fsck in the clone", &other, &["fsck", "--strict", "--full"]);
    assert!(fs::read(other.join("large")).unwrap() == fs::read(work.join("large")).unwrap());

    fs::write(other.join("new"), "new\n").unwrap();
    git("git add", &other, &["add", "new"]);
    git("git commit", &other, &["commit", "-q", "-m", "One more"]);
    git("git push of one more", &other, &["push", "-q"]);
    git("git pull of one more", &work, &["pull", "-q", "origin", "main"]);
    assert_eq!(fs::read_to_string(work.join("new")).unwrap(), "new\n");
}

/// File names, sizes and modes of the tree.
fn make_tree(root: &Path) {
    fs::create_dir_all(root.join("a folder/träge/empty")).unwrap();
    fs::write(root.join("large"), Pattern::new(1).prefix(16 * MIB)).unwrap();
    fs::write(root.join("nothing"), "").unwrap();
    for number in 0..300 {
        let folder = if number % 2 == 0 { "a folder/träge" } else { "a folder" };
        let content = Pattern::new(number).prefix(37 * number);
        fs::write(root.join(folder).join(format!("file {number}")), content).unwrap();
    }
    fs::write(root.join("run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("a folder/file 1", root.join("link")).unwrap();
}

fn tree(root: &Path) -> Tree {
    let mut found = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_dir() {
                folders.push(path.clone());
                b"directory".to_vec()
            } else if metadata.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs::read(&path).unwrap()
            };
            found.insert(path.strip_prefix(root).unwrap().to_owned(), (metadata.permissions().mode(), content));
        }
    }
    assert!(found.len() > 300, "{} is no tree", root.display());
    found
}

//! The access of the hub's service to the key of an operator's certificate: the service has a user of its own, and
//! reads the key as a member of the key's group, which must be allowed to read the key and to enter every directory of
//! its path.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::hub::certificate::pem::PemPair;

/// The directories that the units hide from a service (ProtectHome=, PrivateTmp=).
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// Returns the directory, hidden from services, that a path is below.
pub(super) fn hidden_directory(path: &Path) -> Option<&'static str> {
    HIDDEN.into_iter().find(|directory| path.starts_with(directory))
}

/// The access that the service's unit must give.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyAccess {
    /// There is no such key.
    NotNeeded,
    /// Membership in this group.
    Group(u32),
    /// Unknown, since the key could not be read.
    Unknown(PathBuf),
}

impl KeyAccess {
    /// Determines the access to a pair of files below `root`.
    pub(super) fn of(pair: &PemPair, root: &Path) -> anyhow::Result<Self> {
        let files = [&pair.key, &pair.certificate];
        for file in files {
            if let Some(directory) = hidden_directory(file) {
                bail!("{} is below {directory}, which is hidden from services: move it below /etc", file.display());
            }
        }
        let Ok(key) = fs::metadata(under_root(root, &pair.key)) else { return Ok(Self::Unknown(pair.key.clone())) };
        let (group, mode, name) = (group_of(&key), mode_of(&key), pair.key.display());
        // Root's group would give access to far more than the key. The hub accepts no key that others may read or
        // write.
        if group == 0 || mode & 0o040 == 0 || mode & 0o027 != 0 {
            bail!(
                "the hub's service cannot read {name} (mode {mode:03o}, group {group}): it has a user of its own, and must be \
                 the only one besides root to read it, as a member of the file's group; run: chgrp GROUP {name} && chmod 640 \
                 {name}, where GROUP is one for keys, such as Debian's ssl-cert"
            );
        }
        files.into_iter().try_for_each(|file| check_readable(file, root, group))?;
        Ok(Self::Group(group))
    }
}

/// Checks that members of the group may read a file, and enter every directory of its path, with links followed.
fn check_readable(file: &Path, root: &Path, group: u32) -> anyhow::Result<()> {
    let root = root.canonicalize().with_context(|| format!("cannot access {}", root.display()))?;
    let path = under_root(&root, file);
    // A missing file is reported as a prerequisite.
    let Ok(real) = path.canonicalize() else { return Ok(()) };
    let chains = [&path, &real].map(|end| end.ancestors().skip(1).take_while(|directory| *directory != root));
    let directories = chains.into_iter().flatten().map(|directory| (directory, 1, "chmod g+x"));
    for (directory, bit, remedy) in directories.chain([(path.as_path(), 4, "chmod g+r")]) {
        let metadata = fs::metadata(directory).with_context(|| format!("cannot access {}", directory.display()))?;
        if !allows(&metadata, group, bit) {
            let (file, directory) = (file.display(), directory.display());
            bail!(
                "the hub's service, as a member of group {group}, has no access to {directory} on the path to {file}; run: \
                 chgrp {group} {directory} && {remedy} {directory}"
            );
        }
    }
    Ok(())
}

/// Reports whether members of the group have the permission, given as the bit for others.
fn allows(metadata: &Metadata, group: u32, bit: u32) -> bool {
    let shift = if group_of(metadata) == group { 3 } else { 0 };
    mode_of(metadata) >> shift & bit != 0
}

#[cfg(unix)]
fn group_of(metadata: &Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::gid(metadata)
}

#[cfg(unix)]
fn mode_of(metadata: &Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o777
}

/// Unused: services need systemd.
#[cfg(not(unix))]
fn group_of(_: &Metadata) -> u32 {
    0
}

#[cfg(not(unix))]
fn mode_of(_: &Metadata) -> u32 {
    0
}

/// Returns the path below `root`; a relative path of a service starts at / as well.
fn under_root(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

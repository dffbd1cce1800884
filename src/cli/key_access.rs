//! How the hub's service, which has a user of its own, comes to read the key that an operator keeps for it: through the
//! key's group, if that opens the key and every directory on the way.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::install::hidden_directory;
use crate::hub::certificate::pem::PemPair;

/// What the service's unit must say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyAccess {
    /// There is no such key.
    NotNeeded,
    /// This group, by number.
    Group(u32),
    /// The key could not be looked at.
    Unknown(PathBuf),
}

impl KeyAccess {
    /// For files that are below `root`.
    pub(super) fn of(pair: &PemPair, root: &Path) -> anyhow::Result<Self> {
        let files = [&pair.key, &pair.certificate];
        for file in files {
            if let Some(directory) = hidden_directory(file) {
                bail!("{} is below {directory}, which services do not see: put it below /etc", file.display());
            }
        }
        let Ok(key) = fs::metadata(under_root(root, &pair.key)) else { return Ok(Self::Unknown(pair.key.clone())) };
        let (group, mode, name) = (group_of(&key), mode_of(&key), pair.key.display());
        // Root's own group would open far more than the key; and the hub takes no key that others may read or change.
        if group == 0 || mode & 0o040 == 0 || mode & 0o027 != 0 {
            bail!(
                "the hub's service has a user of its own, which must read {name} (mode {mode:03o}, group {group}) as a \
                 member of its group, and nobody else may: chgrp GROUP {name} && chmod 640 {name}, where GROUP is \
                 one for such keys, such as Debian's ssl-cert"
            );
        }
        files.into_iter().try_for_each(|file| check_readable(file, root, group))?;
        Ok(Self::Group(group))
    }
}

/// Whether members of that group may read a file, and enter every directory on the way there, links followed.
fn check_readable(file: &Path, root: &Path, group: u32) -> anyhow::Result<()> {
    let root = root.canonicalize().with_context(|| format!("cannot look at {}", root.display()))?;
    let path = under_root(&root, file);
    // Missing, it is as good as not yet there.
    let Ok(real) = path.canonicalize() else { return Ok(()) };
    let chains = [&path, &real].map(|end| end.ancestors().skip(1).take_while(|directory| *directory != root));
    let directories = chains.into_iter().flatten().map(|directory| (directory, 1, "chmod g+x"));
    for (directory, bit, remedy) in directories.chain([(path.as_path(), 4, "chmod g+r")]) {
        let metadata = fs::metadata(directory).with_context(|| format!("cannot look at {}", directory.display()))?;
        if !allows(&metadata, group, bit) {
            let (file, directory) = (file.display(), directory.display());
            bail!(
                "the hub's service, as a member of group {group}, would not get through {directory} to {file}: \
                 chgrp {group} {directory} && {remedy} {directory}"
            );
        }
    }
    Ok(())
}

/// The bit is one of the three that stand for everybody else.
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

/// Services are systemd's, which is elsewhere.
#[cfg(not(unix))]
fn group_of(_: &Metadata) -> u32 {
    0
}

#[cfg(not(unix))]
fn mode_of(_: &Metadata) -> u32 {
    0
}

/// A service's relative paths begin at the root too.
fn under_root(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

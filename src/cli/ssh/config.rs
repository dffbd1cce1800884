//! The user's `~/.ssh/config`: one line at its top, and everything else as it was.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::cli::{output, paths};
use crate::hub::state::write_private;

/// Nobody's own is larger; what is, is something else.
const CONFIG_BYTES: u64 = 16 * 1024 * 1024;

/// Writes the block into its file, and has `~/.ssh/config` include that.
pub(super) fn include(block: &str) -> anyhow::Result<()> {
    let (own, config) = (paths::ssh_config_block()?, paths::ssh_config()?);
    let line = include_line(&own)?;
    create_parent(&own)?;
    write_private(&own, block)?;
    output::eprint(&format!("ssh-config: wrote {}", own.display()));
    let content = read(&config)?;
    if content.split_inclusive(|byte| *byte == b'\n').any(|other| is_line(other, &line)) {
        output::eprint(&format!("ssh-config: {} includes it already", config.display()));
        return Ok(());
    }
    create_parent(&config)?;
    // At the top, since what stands after a Host line belongs to that.
    replace(&config, &[line.as_bytes(), b"\n", &content].concat())?;
    output::eprint(&format!("ssh-config: {} includes it now", config.display()));
    Ok(())
}

/// Takes away what [`include`] made.
pub(super) fn remove() -> anyhow::Result<()> {
    let (own, config) = (paths::ssh_config_block()?, paths::ssh_config()?);
    let line = include_line(&own)?;
    let content = read(&config)?;
    let others = content.split_inclusive(|byte| *byte == b'\n').filter(|other| !is_line(other, &line));
    let others: Vec<u8> = others.flatten().copied().collect();
    if others.len() == content.len() {
        output::eprint(&format!("ssh-config: {} does not include it", config.display()));
    } else if others.is_empty() && !config.is_symlink() {
        remove_file(&config)?;
    } else {
        replace(&config, &others)?;
        output::eprint(&format!("ssh-config: {} includes it no more", config.display()));
    }
    if own.exists() { remove_file(&own) } else { Ok(()) }
}

/// The line that includes a file.
fn include_line(file: &Path) -> anyhow::Result<String> {
    // Patterns, tokens, variables and quotes to OpenSSH.
    let special = |c: char| "\"\\*?[]%$\n".contains(c);
    let path = file.to_str().map(|path| if cfg!(windows) { path.replace('\\', "/") } else { path.to_owned() });
    match path {
        Some(path) if !path.contains(special) => Ok(format!("Include \"{path}\"")),
        Some(_) | None => bail!(
            "OpenSSH's Include does not take {} literally; put what `devstream ssh-config` prints into ~/.ssh/config",
            file.display()
        ),
    }
}

fn is_line(other: &[u8], line: &str) -> bool {
    other.trim_ascii() == line.as_bytes()
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    crate::net::os::private_files::read_up_to(path, CONFIG_BYTES)
}

/// The directory of a file, which is its owner's alone if it has to be made.
fn create_parent(file: &Path) -> anyhow::Result<()> {
    let Some(parent) = file.parent() else { return Ok(()) };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(parent).with_context(|| format!("cannot make {}", parent.display()))
}

/// Whole or not at all; with the owner and the permissions that it had, and where it really is if this is a link.
fn replace(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if path.is_symlink() && !path.exists() {
        bail!("{} is a link to a file that is not there; make that file first", path.display());
    }
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(real.parent().unwrap_or(Path::new(".")))?;
        file.write_all(content)?;
        if let Ok(metadata) = fs::metadata(&real) {
            file.as_file().set_permissions(metadata.permissions())?;
            // OpenSSH takes no settings from a file that root made in a user's home.
            #[cfg(unix)]
            std::os::unix::fs::fchown(
                file.as_file(),
                Some(std::os::unix::fs::MetadataExt::uid(&metadata)),
                Some(std::os::unix::fs::MetadataExt::gid(&metadata)),
            )?;
        }
        file.as_file().sync_all()?;
        file.persist(&real)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", real.display()))
}

fn remove_file(path: &PathBuf) -> anyhow::Result<()> {
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    output::eprint(&format!("ssh-config: removed {}", path.display()));
    Ok(())
}

//! The Include line at the top of the user's `~/.ssh/config`; everything else there stays as it is.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::cli::{output, paths};
use crate::hub::state::{AtPath as _, write_private};
use crate::net::os::private_files::unfinished_file_in;

/// The limit on `~/.ssh/config`; a larger file is something else.
const CONFIG_BYTES: u64 = 16 * 1024 * 1024;

/// Writes the block to its own file, and includes that in `~/.ssh/config`.
pub(super) fn include(block: &str) -> anyhow::Result<()> {
    let (block_file, config) = (paths::ssh_config_block()?, paths::ssh_config()?);
    let line = include_line(&block_file)?;
    create_parent(&block_file)?;
    write_private(&block_file, block)?;
    output::eprint(&format!("ssh-config: wrote {}", block_file.display()));
    let content = read(&config)?;
    if content.split_inclusive(|byte| *byte == b'\n').any(|other| is_line(other, &line)) {
        output::eprint(&format!("ssh-config: {} already includes it", config.display()));
        return Ok(());
    }
    create_parent(&config)?;
    // At the top, since a line after a Host line belongs to its block.
    replace(&config, &[line.as_bytes(), b"\n", &content].concat())?;
    output::eprint(&format!("ssh-config: {} now includes it", config.display()));
    Ok(())
}

/// Removes the line and the file that [`include`] wrote.
pub(super) fn remove() -> anyhow::Result<()> {
    let (block_file, config) = (paths::ssh_config_block()?, paths::ssh_config()?);
    let line = include_line(&block_file)?;
    let content = read(&config)?;
    let others = content.split_inclusive(|byte| *byte == b'\n').filter(|other| !is_line(other, &line));
    let others: Vec<u8> = others.flatten().copied().collect();
    if others.len() == content.len() {
        output::eprint(&format!("ssh-config: {} does not include it", config.display()));
    } else if others.is_empty() && !config.is_symlink() {
        remove_file(&config)?;
    } else {
        replace(&config, &others)?;
        output::eprint(&format!("ssh-config: {} no longer includes it", config.display()));
    }
    if block_file.exists() { remove_file(&block_file) } else { Ok(()) }
}

/// Returns the line that includes a file.
fn include_line(file: &Path) -> anyhow::Result<String> {
    // Characters of OpenSSH's patterns, tokens, variables and quotes.
    let special = |c: char| "\"\\*?[]%$\n".contains(c);
    let path = file.to_str().map(|path| if cfg!(windows) { path.replace('\\', "/") } else { path.to_owned() });
    match path {
        Some(path) if !path.contains(special) => Ok(format!("Include \"{path}\"")),
        Some(_) | None => bail!(
            "OpenSSH's Include does not take {} literally; add the output of `devstream ssh-config` to ~/.ssh/config",
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

/// Creates the directory of a file if it does not exist, private to its owner.
fn create_parent(file: &Path) -> anyhow::Result<()> {
    let Some(parent) = file.parent() else { return Ok(()) };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(parent).at_path("cannot create", parent)
}

/// Replaces a file atomically, with its owner and permissions; of a link, its target.
fn replace(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if path.is_symlink() && !path.exists() {
        bail!("{} is a link to a file that does not exist; create that file first", path.display());
    }
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let write = || -> io::Result<()> {
        let mut file = unfinished_file_in(real.parent().unwrap_or(Path::new(".")))?;
        file.write_all(content)?;
        if let Ok(metadata) = fs::metadata(&real) {
            file.as_file().set_permissions(metadata.permissions())?;
            // OpenSSH rejects a file in a user's home that belongs to another user.
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

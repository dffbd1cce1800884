//! Files that hold secrets: only their owner may read them, and they are written whole or not at all.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use anyhow::Context as _;

/// Makes a directory that only its owner may enter, or checks that it is one.
pub fn create_private_directory(path: &Path) -> anyhow::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    require_private(path, "chmod 700")
}

/// Reads a file that only its owner may read.
pub fn read_private(path: &Path) -> anyhow::Result<String> {
    require_private(path, "chmod 600")?;
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Reads a file that the service manager handed over. It lets this service in with an access control list, whose mask
/// shows as the group's bits.
pub fn read_credential(path: &Path) -> anyhow::Result<String> {
    check_mode(path, 0o007, "chmod o=")?;
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Reads a secret that somebody else may have put there for us, and not more of it than this. As sshd has it: what we
/// own must be closed to everybody else; what another user owns, such as root, may be open to its group, which is how
/// Debian's `ssl-cert` and systemd's credentials are given.
pub fn read_secret(path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let owner = metadata(path)?.uid();
        let ours = owner == rustix::process::geteuid().as_raw();
        check_mode(path, if ours { 0o077 } else { 0o027 }, if ours { "chmod 600" } else { "chmod o=" })?;
    }
    read_up_to(path, limit)
}

/// Reads a file that is not larger than this.
pub fn read_up_to(path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    let mut content = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut content));
    let read = read.with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(read as u64 <= limit, "{} is larger than {limit} bytes", path.display());
    Ok(content)
}

/// Writes a private file, whole or not at all.
pub fn write_private(path: &Path, content: &str) -> anyhow::Result<()> {
    write_private_bytes(path, content.as_bytes())
}

/// The same for what is no text.
pub fn write_private_bytes(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let written = write_temporary(path, content).and_then(|file| Ok(file.persist(path)?));
    written.map(drop).with_context(|| format!("cannot write {}", path.display()))
}

/// The same, unless the file is already there: then it is left as it is.
pub fn write_private_once(path: &Path, content: &str) -> anyhow::Result<()> {
    match write_temporary(path, content.as_bytes()).and_then(|file| Ok(file.persist_noclobber(path)?)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot write {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The content on disk, under a name of its own (temporary files are made 0600).
fn write_temporary(path: &Path, content: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn require_private(path: &Path, remedy: &str) -> anyhow::Result<()> {
    check_mode(path, 0o077, remedy)
}

#[cfg(unix)]
fn check_mode(path: &Path, bits: u32, remedy: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata(path)?.permissions().mode() & 0o777;
    if mode & bits != 0 {
        let path = path.display();
        anyhow::bail!(
            "{path} may be read by others (mode {mode:03o}), which a secret's place may not: {remedy} {path}"
        );
    }
    Ok(())
}

#[cfg(unix)]
fn metadata(path: &Path) -> anyhow::Result<fs::Metadata> {
    fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: u32, _: &str) -> anyhow::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_of_ours_is_nobody_elses_and_has_a_limit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path();
        fs::write(path, "secret").unwrap();
        for (mode, fine) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o660, false)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_secret(path, 6).is_ok(), fine, "{mode:o}");
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read_secret(path, 5).is_err(), "too large");
    }
}

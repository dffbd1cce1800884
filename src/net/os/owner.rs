//! Why a file cannot be accessed or written: whose it is, or what its file system lacks.

use std::io;
use std::path::Path;
use std::sync::OnceLock;

/// The setting by which a person has this program's files elsewhere.
static LOCATION: OnceLock<&'static str> = OnceLock::new();

/// Has advice from here on name this setting; without it, the user's home directory.
pub fn set_location(setting: &'static str) {
    let _ = LOCATION.set(setting);
}

fn location() -> &'static str {
    LOCATION.get().copied().unwrap_or("HOME")
}

/// Adds to an error of the file system why it failed, such as whose the path is, and what to do.
pub fn explain(error: &io::Error, path: &Path) -> String {
    advice(error, path).map_or_else(|| error.to_string(), |advice| format!("{error}; {advice}"))
}

/// Words what to do about an error of the file system, if that is known.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others say themselves what they are")]
pub fn advice(error: &io::Error, path: &Path) -> Option<String> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => denied(path),
        io::ErrorKind::ReadOnlyFilesystem => {
            Some(format!("nothing can be written there: set {} to a directory that can", location()))
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some(format!("make room there, or set {} to a directory with some", location()))
        }
        _ => None,
    }
}

/// Words what keeps this user from a path: the path, or the nearest directory above it that can be looked at.
#[cfg(unix)]
pub fn denied(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let find = |at: &Path| Some((at.display().to_string(), std::fs::metadata(at).ok()?.uid()));
    let (at, owner) = path.ancestors().find_map(find)?;
    if owner == rustix::process::geteuid().as_raw() {
        return Some(format!("{at} is this user's own, but its permissions do not allow this: chmod u+rwX {at}"));
    }
    let user = user_name(owner);
    let named = user.clone().unwrap_or_else(|| format!("user {owner}"));
    if let Some(missing) = missing_below(path, Path::new(&at)) {
        let setting = location();
        return Some(format!(
            "{missing} does not exist, and {at} belongs to {named}: set {setting} to a directory of your own"
        ));
    }
    let sudo = user.unwrap_or_else(|| format!("'#{owner}'"));
    Some(format!(
        "{at} belongs to {named}: run this as that user (sudo -u {sudo} …), or with a directory of your own ({})",
        location()
    ))
}

/// Returns what would have to be created in this directory for the path, if that is not merely out of sight.
#[cfg(unix)]
fn missing_below(path: &Path, directory: &Path) -> Option<String> {
    let missing = path.ancestors().take_while(|above| *above != directory).last()?;
    let error = std::fs::metadata(missing).err()?;
    (error.kind() == io::ErrorKind::NotFound).then(|| missing.display().to_string())
}

/// Nobody owns a file by a number.
#[cfg(not(unix))]
pub fn denied(_: &Path) -> Option<String> {
    None
}

/// The limit on the file of users; where it is larger, or the user is elsewhere, the user has no name.
#[cfg(unix)]
const USERS_BYTES: u64 = 1024 * 1024;

/// Returns the name of a user of this machine.
#[cfg(unix)]
pub fn user_name(user: u32) -> Option<String> {
    use std::io::Read as _;
    let mut users = Vec::new();
    std::fs::File::open("/etc/passwd").ok()?.take(USERS_BYTES).read_to_end(&mut users).ok()?;
    let users = String::from_utf8_lossy(&users);
    let named = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        (fields.nth(1)? == user.to_string()).then_some(name)
    };
    users.lines().find_map(named)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_denied_path_names_its_owner_and_what_to_do() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let own = tempfile::tempdir().unwrap();
        let path = own.path().join("config.toml");
        let said = explain(&denied(), &path);
        assert!(said.ends_with(&format!(": chmod u+rwX {}", own.path().display())), "{said}");
        // A file of root's, for whoever is not.
        let said = super::denied(Path::new("/etc/passwd")).unwrap();
        let root =
            "/etc/passwd belongs to root: run this as that user (sudo -u root …), or with a directory of your own";
        assert!(said.starts_with(root) || rustix::process::geteuid().is_root(), "{said}");
        assert_eq!(explain(&io::ErrorKind::NotFound.into(), &path), "entity not found");
        for (kind, next) in [
            (io::ErrorKind::ReadOnlyFilesystem, "nothing can be written there: set HOME to a directory that can"),
            (io::ErrorKind::StorageFull, "make room there, or set HOME"),
        ] {
            assert!(explain(&kind.into(), &path).contains(next), "{kind:?}");
        }
        let said = explain(&denied(), Path::new("/nonexistent/data/devstream"));
        let home = "/nonexistent does not exist, and / belongs to root: set HOME to a directory of your own";
        assert!(said.contains(home) || rustix::process::geteuid().is_root(), "{said}");
    }
}

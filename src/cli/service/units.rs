//! The systemd units of each role, from the templates in `units/`. They remove every privilege that a role does not
//! need: `systemd-analyze security` rates them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::access::KeyAccess;
use crate::cli::args::VIA_LOGIN;
use crate::cli::paths::{IDENTITY_FILE, KEY_FILE};

const SERVICE: &str = include_str!("units/role.service");
const HUB: &str = include_str!("units/hub.conf");
const CLIENT: &str = include_str!("units/client.conf");
const SOCKET: &str = include_str!("units/hub.socket");

/// The time after draining, in which connections are closed and logs are written.
const STOP_RESERVE: Duration = Duration::from_secs(15);

/// A unit file.
pub(super) struct Unit {
    /// Its name.
    pub(super) name: String,
    /// Its content.
    pub(super) text: String,
}

/// The settings that the services of all roles have.
pub(super) struct Service<'a> {
    /// The subcommand.
    pub(super) role: &'a str,
    /// The name of its unit: the subcommand, and the profile unless that is `default`.
    pub(super) name: &'a str,
    /// The program to run.
    pub(super) program: &'a Path,
    /// Its further arguments.
    pub(super) arguments: &'a [String],
    /// The drain timeout of its streams.
    pub(super) drain: Duration,
}

/// Returns the hub's units: sockets, which stay open when it restarts, and its service.
pub(super) fn hub(
    service: &Service<'_>,
    listen: &[SocketAddr],
    streaming: Option<SocketAddr>,
    key: &KeyAccess,
    via_login: Option<&Path>,
) -> anyhow::Result<Vec<Unit>> {
    let mut units = vec![socket("devstream-hub.socket", "hub", "its sockets", listen)];
    if let Some(address) = streaming {
        units.push(socket(
            "devstream-hub-streaming.socket",
            "streaming",
            "its streaming endpoint's socket",
            &[address],
        ));
    }
    let names: Vec<_> = units.iter().map(|unit| unit.name.as_str()).collect();
    let sockets = names.join(" ");
    let settings = format!("{}{}{}", fill(HUB, &[("sockets", &sockets)]), group_of(key), load_proxy_login(via_login)?);
    units.push(service.unit(&settings, &format!("Also={sockets}"))?);
    Ok(units)
}

/// Returns the setting that lets the service read its certificate's key.
fn group_of(key: &KeyAccess) -> String {
    match key {
        KeyAccess::NotNeeded => String::new(),
        KeyAccess::Group(group) => format!("# The group of its certificate's key.\nSupplementaryGroups={group}\n"),
        KeyAccess::Unknown(path) => format!(
            "# {path:?} was not accessible: install again once it exists, so that the service gets the key's group.\n"
        ),
    }
}

/// Returns the unit of a device-agent or service-proxy, with the identity in that directory.
pub(super) fn client(service: &Service<'_>, identity: &Path, via_login: Option<&Path>) -> anyhow::Result<Vec<Unit>> {
    let (key, directory) = (load_key(identity)?, setting(text_of(identity)?)?);
    let settings =
        fill(CLIENT, &[("key", &key), ("identity", &directory), ("role", service.role), ("name", service.name)]);
    Ok(vec![service.unit(&format!("{settings}{}", load_proxy_login(via_login)?), "")?])
}

/// Returns the files that the unit of [`client`] needs.
pub(super) fn credentials(identity: &Path) -> [PathBuf; 2] {
    [IDENTITY_FILE, KEY_FILE].map(|name| identity.join(name))
}

/// Reports whether a unit loads the key in that directory.
pub(super) fn takes_key(unit: &str, identity: &Path) -> bool {
    load_key(identity).is_ok_and(|line| unit.lines().any(|other| other == line))
}

/// Returns the directory below `/var/lib` that a unit has for its state.
pub(super) fn state_directory(unit: &str) -> Option<&str> {
    unit.lines().find_map(|line| line.strip_prefix("StateDirectory="))
}

fn load_key(identity: &Path) -> anyhow::Result<String> {
    load_credential(KEY_FILE, &identity.join(KEY_FILE))
}

fn load_proxy_login(via_login: Option<&Path>) -> anyhow::Result<String> {
    let Some(file) = via_login else { return Ok(String::new()) };
    let line = load_credential(VIA_LOGIN, file)?;
    Ok(format!("# The proxy's USER:PASSWORD, readable by this service only.\n{line}\n"))
}

fn load_credential(name: &str, file: &Path) -> anyhow::Result<String> {
    Ok(format!("LoadCredential={name}:{}", setting(text_of(file)?)?))
}

impl Service<'_> {
    fn unit(&self, settings: &str, install: &str) -> anyhow::Result<Unit> {
        let mut arguments = String::new();
        for argument in self.arguments {
            arguments += &format!(" {}", quote(argument)?);
        }
        let values = [
            ("name", self.name),
            ("role", self.role),
            ("stop", &(self.drain + STOP_RESERVE).as_secs().to_string()),
            ("settings", settings.trim_end()),
            ("install", install),
            ("program", &quote(text_of(self.program)?)?),
            ("arguments", &arguments),
        ];
        let text = fill(SERVICE, &values);
        Ok(Unit { name: format!("devstream-{}.service", self.name), text: format!("{}\n", text.trim_end()) })
    }
}

fn socket(unit: &str, name: &str, description: &str, addresses: &[SocketAddr]) -> Unit {
    let listen: Vec<_> = addresses.iter().map(|address| format!("ListenStream={address}")).collect();
    let text = fill(SOCKET, &[("description", description), ("name", name), ("listen", &listen.join("\n"))]);
    Unit { name: unit.into(), text }
}

/// Fills in a template: each `{name}` once, and none within the values.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let (mut text, mut rest) = (String::new(), template);
    while let Some(start) = rest.find('{') {
        text += &rest[..start];
        rest = &rest[start..];
        let value = values.iter().find_map(|(name, value)| {
            let after = rest.strip_prefix('{')?.strip_prefix(name)?.strip_prefix('}')?;
            Some((value, after))
        });
        let (value, after) = value.map_or_else(|| rest.split_at(1), |(value, after)| (*value, after));
        text += value;
        rest = after;
    }
    text + rest
}

/// Returns the text of a path: with other characters in the place of what is no text, it would name another file.
fn text_of(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{path:?} cannot stand in a unit file: it is not UTF-8"))
}

/// Writes the value of a setting. Percent signs start specifiers.
fn setting(text: &str) -> anyhow::Result<String> {
    // Unicode's separators of lines and paragraphs are no control characters.
    let ends_line = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if text.chars().any(ends_line) || text.ends_with('\\') {
        bail!("{text:?} cannot stand in a unit file: it contains a control character, or ends with a backslash");
    }
    Ok(text.replace('%', "%%"))
}

/// Quotes an argument of a command line for systemd (systemd.service(5), systemd.syntax(7)).
fn quote(text: &str) -> anyhow::Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "$$");
    setting(&format!("\"{escaped}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_adds_a_line_or_joins_two_or_is_filled_in_itself() {
        for text in ["/a\nExecStartPre=/b", "/a\r", "/a\u{1b}[2J", "/a\\", "/a\u{85}b", "/a\u{2028}b", "/a\u{2029}b"] {
            assert!(setting(text).is_err(), "{text:?}");
        }
        assert!(quote("a\nExecStart=b").is_err() && quote("a\u{2028}b").is_err());
        let values = [("program", "/{arguments}"), ("arguments", " --x={program}")];
        assert_eq!(fill("{program}{arguments} ${HOME} {", &values), "/{arguments} --x={program} ${HOME} {");
    }

    #[test]
    #[cfg(unix)]
    fn a_path_that_is_no_text_is_refused_and_not_written_as_another_one() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;
        let path = |bytes| Path::new(OsStr::from_bytes(bytes));
        let known = Service { role: "a", name: "a", program: path(b"/a"), arguments: &[], drain: Duration::ZERO };
        let units = |program, identity, login| client(&Service { program, ..known }, identity, Some(login));
        let (good, bad) = (path("/\u{e9}".as_bytes()), path(b"/\xff"));
        assert!(units(good, good, good).is_ok());
        for [program, identity, login] in [[bad, good, good], [good, bad, good], [good, good, bad]] {
            let refused = units(program, identity, login).err().expect("another file's name").to_string();
            assert!(refused.starts_with("\"/\\xFF") && refused.ends_with("it is not UTF-8"), "{refused}");
        }
    }

    #[test]
    fn quoted_arguments_reach_the_program_unchanged() {
        for (given, written) in [
            ("--listen=[::]:443", r#""--listen=[::]:443""#),
            ("ssh=22", "ssh=22"),
            ("", r#""""#),
            ("a b", r#""a b""#),
            (r#"100% $HOME "x" \"#, r#""100%% $$HOME \"x\" \\""#),
        ] {
            assert_eq!(quote(given).unwrap(), written);
        }
    }
}

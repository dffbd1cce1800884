//! The systemd units of each role, from the templates in `units/`. They remove every privilege that a role does not
//! need: `systemd-analyze security` rates them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
) -> Vec<Unit> {
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
    let settings = format!("{}{}{}", HUB.replace("{sockets}", &sockets), group_of(key), load_proxy_login(via_login));
    units.push(service.unit(&settings, &format!("Also={sockets}")));
    units
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
pub(super) fn client(service: &Service<'_>, identity: &Path, via_login: Option<&Path>) -> Vec<Unit> {
    let settings = CLIENT
        .replace("{key}", &load_key(identity))
        .replace("{identity}", &specifiers(&identity.display().to_string()))
        .replace("{role}", service.role);
    vec![service.unit(&format!("{settings}{}", load_proxy_login(via_login)), "")]
}

/// Returns the files that the unit of [`client`] needs.
pub(super) fn credentials(identity: &Path) -> [PathBuf; 2] {
    [IDENTITY_FILE, KEY_FILE].map(|name| identity.join(name))
}

/// Reports whether a unit loads the key in that directory.
pub(super) fn takes_key(unit: &str, identity: &Path) -> bool {
    let line = load_key(identity);
    unit.lines().any(|other| other == line)
}

fn load_key(identity: &Path) -> String {
    load_credential(KEY_FILE, &identity.join(KEY_FILE))
}

fn load_proxy_login(via_login: Option<&Path>) -> String {
    let line = via_login.map(|file| load_credential(VIA_LOGIN, file));
    let comment = "# The proxy's USER:PASSWORD, readable by this service only.";
    line.map_or_else(String::new, |line| format!("{comment}\n{line}\n"))
}

fn load_credential(name: &str, file: &Path) -> String {
    format!("LoadCredential={name}:{}", specifiers(&file.display().to_string()))
}

impl Service<'_> {
    fn unit(&self, settings: &str, install: &str) -> Unit {
        let arguments: String = self.arguments.iter().map(|argument| format!(" {}", quote(argument))).collect();
        let text = SERVICE
            .replace("{name}", self.name)
            .replace("{role}", self.role)
            .replace("{stop}", &(self.drain + STOP_RESERVE).as_secs().to_string())
            .replace("{settings}", settings.trim_end())
            .replace("{install}", install)
            .replace("{program}", &quote(&self.program.display().to_string()))
            .replace("{arguments}", &arguments);
        Unit { name: format!("devstream-{}.service", self.name), text: format!("{}\n", text.trim_end()) }
    }
}

fn socket(unit: &str, name: &str, description: &str, addresses: &[SocketAddr]) -> Unit {
    let listen: Vec<_> = addresses.iter().map(|address| format!("ListenStream={address}")).collect();
    let text =
        SOCKET.replace("{description}", description).replace("{name}", name).replace("{listen}", &listen.join("\n"));
    Unit { name: unit.into(), text }
}

/// Quotes an argument of a command line for systemd (systemd.service(5), systemd.syntax(7)).
fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let escaped = specifiers(text).replace('\\', "\\\\").replace('"', "\\\"").replace('$', "$$").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

/// Escapes percent signs, which start specifiers.
fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn quoted_arguments_reach_the_program_unchanged() {
        for (given, written) in [
            ("--listen=[::]:443", r#""--listen=[::]:443""#),
            ("ssh=22", "ssh=22"),
            ("", r#""""#),
            ("a b", r#""a b""#),
            (r#"100% $HOME "x" \"#, r#""100%% $$HOME \"x\" \\""#),
            ("a\nExecStart=b", r#""a\nExecStart=b""#),
        ] {
            assert_eq!(quote(given), written);
        }
    }
}

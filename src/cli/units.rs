//! The systemd units of each role, from the templates in `units/`. They take from a role everything that it does not
//! need: `systemd-analyze security` says how well.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::VIA_LOGIN;
use super::identity::{IDENTITY, KEY};
use super::key_access::KeyAccess;

const SERVICE: &str = include_str!("units/role.service");
const HUB: &str = include_str!("units/hub.conf");
const CLIENT: &str = include_str!("units/client.conf");
const SOCKET: &str = include_str!("units/hub.socket");

/// After the last stream was cut: saying goodbye, and writing the logs.
const STOP_RESERVE: Duration = Duration::from_secs(15);

/// One file for systemd.
pub(super) struct Unit {
    /// Its name.
    pub(super) name: String,
    /// What is in it.
    pub(super) text: String,
}

/// What every role's service needs.
pub(super) struct Service<'a> {
    /// The subcommand.
    pub(super) role: &'a str,
    /// What its unit is called: the subcommand, and which profile it runs with if that has a name of its own.
    pub(super) name: &'a str,
    /// The program to run.
    pub(super) program: &'a Path,
    /// Its further arguments.
    pub(super) arguments: &'a [String],
    /// How long its streams may go on when it is stopped.
    pub(super) drain: Duration,
}

/// The hub's: sockets that outlive its restarts, and itself.
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
    let own = format!("{}{}{}", HUB.replace("{sockets}", &sockets), group_of(key), load_proxy_login(via_login));
    units.push(service.unit(&own, &format!("Also={sockets}")));
    units
}

/// What lets the service read its certificate's key.
fn group_of(key: &KeyAccess) -> String {
    match key {
        KeyAccess::NotNeeded => String::new(),
        KeyAccess::Group(group) => format!("# The group of its certificate's key.\nSupplementaryGroups={group}\n"),
        KeyAccess::Unknown(path) => format!(
            "# {path:?} could not be looked at: install again when it is there, so that this gets the key's group.\n"
        ),
    }
}

/// The device-agent's or the service-proxy's, with the identity in that directory.
pub(super) fn client(service: &Service<'_>, identity: &Path, via_login: Option<&Path>) -> Vec<Unit> {
    let own = CLIENT
        .replace("{key}", &load_key(identity))
        .replace("{identity}", &specifiers(&identity.display().to_string()))
        .replace("{role}", service.role);
    vec![service.unit(&format!("{own}{}", load_proxy_login(via_login)), "")]
}

/// The files that [`client`]'s unit needs.
pub(super) fn credentials(identity: &Path) -> [PathBuf; 2] {
    [IDENTITY, KEY].map(|name| identity.join(name))
}

/// Whether a unit is handed the key in that directory.
pub(super) fn takes_key(unit: &str, identity: &Path) -> bool {
    let line = load_key(identity);
    unit.lines().any(|other| other == line)
}

fn load_key(identity: &Path) -> String {
    load_credential(KEY, &identity.join(KEY))
}

fn load_proxy_login(via_login: Option<&Path>) -> String {
    let line = via_login.map(|file| load_credential(VIA_LOGIN, file));
    let comment = "# What its proxy wants to know, readable for this service alone.";
    line.map_or_else(String::new, |line| format!("{comment}\n{line}\n"))
}

fn load_credential(name: &str, file: &Path) -> String {
    format!("LoadCredential={name}:{}", specifiers(&file.display().to_string()))
}

impl Service<'_> {
    fn unit(&self, own: &str, also: &str) -> Unit {
        let arguments: String = self.arguments.iter().map(|argument| format!(" {}", quote(argument))).collect();
        let text = SERVICE
            .replace("{name}", self.name)
            .replace("{role}", self.role)
            .replace("{stop}", &(self.drain + STOP_RESERVE).as_secs().to_string())
            .replace("{own}", own.trim_end())
            .replace("{also}", also)
            .replace("{program}", &quote(&self.program.display().to_string()))
            .replace("{arguments}", &arguments);
        Unit { name: format!("devstream-{}.service", self.name), text: format!("{}\n", text.trim_end()) }
    }
}

fn socket(unit: &str, name: &str, what: &str, addresses: &[SocketAddr]) -> Unit {
    let listen: Vec<_> = addresses.iter().map(|address| format!("ListenStream={address}")).collect();
    let text = SOCKET.replace("{what}", what).replace("{name}", name).replace("{listen}", &listen.join("\n"));
    Unit { name: unit.into(), text }
}

/// One word of a command line, as systemd.service(5) and systemd.syntax(7) unfold it.
fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let escaped = specifiers(text).replace('\\', "\\\\").replace('"', "\\\"").replace('$', "$$").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

/// A percent sign begins a specifier.
fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn words_survive_systemds_unfolding() {
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

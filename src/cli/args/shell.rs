//! For people who type: OpenSSH and a remote desktop without a thought for ports, and what runs here.

use std::ffi::OsString;
use std::str::FromStr;

use clap::{Args, ValueHint};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};

use super::OutputArgs;
use crate::cli::complete;
use crate::cli::profile::Profile;
use crate::proto::id::{DeviceId, InvalidName, StreamName};

/// The name of a forward to port 22.
const SSH: &str = "ssh";

/// The name of a forward to port 3389.
const RDP: &str = "rdp";

/// Print what lets OpenSSH reach every device by its name, as in `ssh pi-42.devstream`
///
/// A Host block for *.devstream, which covers every device that I may reach, now or later: ssh, scp, sftp, rsync,
/// Ansible and VS Code need nothing else. known_hosts has one entry for each device, under that name. What else OpenSSH
/// should do there goes into a block `Host *.devstream` or `Host pi-42.devstream` of your own, such as `User pi`.
#[derive(Debug, Args)]
pub(in crate::cli) struct SshConfig {
    /// Put it into a file of its own, and one Include line for that at the top of ~/.ssh/config
    #[arg(long)]
    pub(in crate::cli) install: bool,
    /// Take both away again
    #[arg(long, conflicts_with_all = ["install", "stream"])]
    pub(in crate::cli) uninstall: bool,
    /// The stream that leads to the device's SSH server: what its forward is called
    #[arg(long, value_name = "NAME", default_value = SSH, add = ArgValueCandidates::new(complete::streams))]
    pub(in crate::cli) stream: StreamName,
    #[arg(from_global)]
    pub(in crate::cli) profile: Option<Profile>,
}

/// Run OpenSSH's `ssh` to a device
///
/// It is the system's `ssh`, with its own settings for pi-42.devstream, and ends with its exit code. Settings of this
/// command come before the device; what follows the device is for `ssh`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Ssh {
    /// The stream that leads to the device's SSH server: what its forward is called
    #[arg(long, value_name = "NAME", default_value = SSH, add = ArgValueCandidates::new(complete::streams))]
    pub(in crate::cli) stream: StreamName,
    #[arg(from_global)]
    pub(in crate::cli) profile: Option<Profile>,
    /// Whom to log in as, and where: pi-42, root@pi-42
    #[arg(value_name = "[USER@]DEVICE", add = ArgValueCompleter::new(complete::logins))]
    pub(in crate::cli) login: Login,
    /// What `ssh` is given: its options, and a command for the device
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_hint = ValueHint::CommandWithArguments)]
    pub(in crate::cli) arguments: Vec<OsString>,
}

/// A device, and whom to log in as there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Login {
    pub(in crate::cli) user: Option<String>,
    pub(in crate::cli) device: DeviceId,
}

impl FromStr for Login {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (user, device) = match text.rsplit_once('@') {
            Some((user, device)) => (Some(user.to_owned()), device),
            None => (None, text),
        };
        Ok(Self { user, device: device.parse()? })
    }
}

/// Open a device's desktop: a local port, an .rdp file, and a remote desktop client
///
/// Starts xfreerdp3 or xfreerdp, on Windows mstsc, on macOS whatever opens .rdp files; says what to do where there is
/// none. Ends when the client ends. The flags, environment and file of the service-proxy hold here too.
#[derive(Debug, Args)]
pub(in crate::cli) struct Rdp {
    /// Start no client: print the address and the .rdp file, and serve until Ctrl-C
    #[arg(long)]
    pub(in crate::cli) no_client: bool,
    /// The stream that leads to the device's desktop: what its forward is called
    #[arg(long, value_name = "NAME", default_value = RDP, add = ArgValueCandidates::new(complete::streams))]
    pub(in crate::cli) stream: StreamName,
    #[arg(from_global)]
    pub(in crate::cli) profile: Option<Profile>,
    /// The device
    #[arg(add = ArgValueCandidates::new(complete::devices))]
    pub(in crate::cli) device: DeviceId,
    /// Further arguments for the client, such as /u:alice
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, conflicts_with = "no_client")]
    pub(in crate::cli) arguments: Vec<OsString>,
}

/// Show what of this user runs on this machine, to which hub, and as whom
///
/// The hub, each device-agent, service-proxy and rdp, and what `ssh` runs as its ProxyCommand, with their process, identity,
/// hub, state (since when, and the last error) and open streams. Root also sees those that systemd runs. Where machines share
/// a home directory, each shows its own.
#[derive(Debug, Args)]
pub(in crate::cli) struct Status {
    #[command(flatten)]
    pub(in crate::cli) output: OutputArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_a_device_and_perhaps_a_user() {
        let login = |text: &str| text.parse::<Login>().map(|login| (login.user, login.device.to_string()));
        assert_eq!(login("pi-42"), Ok((None, "pi-42".into())));
        assert_eq!(login("root@pi-42"), Ok((Some("root".into()), "pi-42".into())));
        assert_eq!(login("me@corp.example@pi-42"), Ok((Some("me@corp.example".into()), "pi-42".into())));
        assert!(login("root@").is_err() && login("a/b").is_err());
    }
}

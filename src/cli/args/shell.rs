//! The flags of `devstream ssh-config`, `ssh`, `rdp` and `status`.

use std::ffi::OsString;
use std::str::FromStr;

use clap::{Args, ValueHint};

use super::OutputArgs;
use super::session::SessionArgs;
use super::value_parsers::device_id;
use crate::cli::profile::Profile;
use crate::proto::id::{DeviceId, InvalidName, StreamName};

/// The name of a forward to port 22.
const SSH: &str = "ssh";

/// The name of a forward to port 3389.
const RDP: &str = "rdp";

/// Print the OpenSSH configuration to reach every device by its name, as in `ssh pi-42.devstream`
///
/// Prints a Host block for *.devstream, which covers every device that you may reach, now or later: ssh, scp, sftp,
/// rsync, Ansible and VS Code need nothing else. known_hosts gets an entry for each device, under that name. Put
/// further settings, such as `User pi`, into a block `Host *.devstream` or `Host pi-42.devstream` of your own.
#[derive(Debug, Args)]
pub(in crate::cli) struct SshConfig {
    /// Write it to a file of its own, and an Include line for that at the top of ~/.ssh/config
    #[arg(long)]
    pub(in crate::cli) install: bool,
    /// Remove that file and the Include line
    #[arg(long, conflicts_with_all = ["install", "stream", "hub", "via", "via_login", "connect_timeout"])]
    pub(in crate::cli) uninstall: bool,
    /// Ask for this stream, which is the name of the forward to the device's SSH server
    #[arg(long, value_name = "NAME", default_value = SSH)]
    pub(in crate::cli) stream: StreamName,
    #[command(flatten)]
    pub(in crate::cli) session: SessionArgs,
    #[arg(from_global)]
    pub(in crate::cli) profile: Option<Profile>,
}

/// Run OpenSSH's `ssh` to a device
///
/// Runs the system's `ssh` with the user's settings for pi-42.devstream, and exits with its code. Flags of this command
/// go before the device; everything after it goes to `ssh`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Ssh {
    /// Ask for this stream, which is the name of the forward to the device's SSH server
    #[arg(long, value_name = "NAME", default_value = SSH)]
    pub(in crate::cli) stream: StreamName,
    #[command(flatten)]
    pub(in crate::cli) session: SessionArgs,
    #[arg(from_global)]
    pub(in crate::cli) profile: Option<Profile>,
    /// Device, and the user to log in as: pi-42, root@pi-42
    #[arg(value_name = "[USER@]DEVICE")]
    pub(in crate::cli) login: Login,
    /// Arguments of `ssh`: its options, and a command for the device
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_hint = ValueHint::CommandWithArguments)]
    pub(in crate::cli) arguments: Vec<OsString>,
}

/// A device, and the user to log in as.
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
        Ok(Self { user, device: device_id(device)? })
    }
}

/// Open a device's desktop: a local port, an .rdp file, and a remote desktop client
///
/// Starts xfreerdp3 or xfreerdp, on Windows mstsc, on macOS the application for .rdp files; prints what to do where
/// there is none. Exits when the client does. Uses the service-proxy's settings in the environment and the file.
#[derive(Debug, Args)]
pub(in crate::cli) struct Rdp {
    /// Start no client: print the address and the .rdp file, and serve until Ctrl-C
    #[arg(long)]
    pub(in crate::cli) no_client: bool,
    /// Ask for this stream, which is the name of the forward to the device's desktop
    #[arg(long, value_name = "NAME", default_value = RDP)]
    pub(in crate::cli) stream: StreamName,
    #[command(flatten)]
    pub(in crate::cli) session: SessionArgs,
    #[arg(from_global)]
    pub(in crate::cli) profile: Option<Profile>,
    /// Device to connect to
    #[arg(value_parser = device_id)]
    pub(in crate::cli) device: DeviceId,
    /// Further arguments of the client, such as /u:alice
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, conflicts_with = "no_client")]
    pub(in crate::cli) arguments: Vec<OsString>,
}

/// Show the roles of this user that run on this machine: process, identity, hub, state and streams
///
/// Covers the hub, each device-agent, service-proxy and rdp, and the ProxyCommand of each `ssh`, with the time and the
/// last error of their state. Root also sees those that systemd runs. Where machines share a home directory, each shows
/// its own. Where nothing runs, and this machine has not joined a hub, it exits with code 30.
#[derive(Debug, Args)]
pub(in crate::cli) struct Status {
    #[command(flatten)]
    pub(in crate::cli) output: OutputArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_a_device_with_an_optional_user() {
        let login = |text: &str| text.parse::<Login>().map(|login| (login.user, login.device.to_string()));
        assert_eq!(login("pi-42"), Ok((None, "pi-42".into())));
        assert_eq!(login("root@pi-42"), Ok((Some("root".into()), "pi-42".into())));
        assert_eq!(login("me@corp.example@pi-42"), Ok((Some("me@corp.example".into()), "pi-42".into())));
        assert_eq!(login("root@pi-42.devstream"), Ok((Some("root".into()), "pi-42".into())));
        assert!(login("root@").is_err() && login("a/b").is_err());
    }
}

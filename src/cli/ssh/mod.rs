//! `devstream ssh`, `devstream ssh-config` and `devstream rdp`: clients of the operator's machine, through a
//! service-proxy.
//!
//! In: a device, or none for all. Out: OpenSSH with `service-proxy --stdio` as its ProxyCommand, a block of its
//! configuration, or a remote desktop client at a local port.

mod config;
pub(super) mod rdp;

use std::process::Command;

use anyhow::{Context as _, anyhow};

use self::config::{include, remove};
use super::args::{DEVICE_SUFFIX as SUFFIX, SessionArgs, Ssh, SshConfig};
use super::identity::ensure_service_identity;
use super::profile::Profile;
use super::{Failure, output};
use crate::proto::id::StreamName;

/// Prints, installs or removes the block for every device.
pub(super) async fn configure(wanted: &SshConfig) -> Result<(), Failure> {
    if wanted.uninstall {
        return Ok(remove()?);
    }
    let host_block = host_block(&proxy_command("%h", &wanted.stream, wanted.profile.as_ref(), &wanted.session)?);
    if wanted.install {
        include(&host_block)?;
    } else {
        output::print(&host_block);
    }
    // The configuration is the same once this machine has joined.
    match ensure_service_identity(wanted.profile.as_ref()).await {
        Err(Failure::Refused(refusal)) => {
            output::warning(&format!("ssh-config: warning: `ssh` cannot reach a device yet: {}", refusal.with_hint()));
        }
        Err(failure) => return Err(failure),
        Ok(()) if wanted.install => {
            output::eprint("ssh-config: next: ssh ID.devstream, with the id of a device from `devstream devices`");
        }
        Ok(()) => {}
    }
    Ok(())
}

/// Replaces this process by `ssh`; returns only if that fails.
pub(super) async fn run(ssh: Ssh) -> Result<(), Failure> {
    // `ssh` would parse it as an option.
    if ssh.login.device.as_str().starts_with('-') {
        return Err(Failure::Usage(anyhow!("the device's id starts with '-', which `ssh` takes for an option")));
    }
    // `ssh` would add lines of its own, and end with its own code.
    ensure_service_identity(ssh.profile.as_ref()).await?;
    let mut command = Command::new("ssh");
    let proxy_command = proxy_command("%n", &ssh.stream, ssh.profile.as_ref(), &ssh.session)?;
    command.arg("-o").arg(format!("ProxyCommand={proxy_command}"));
    if let Some(user) = ssh.login.user {
        command.args(["-l", &user]);
    }
    command.arg(format!("{}{SUFFIX}", ssh.login.device)).args(ssh.arguments);
    exec_or_run(command)
}

#[cfg(unix)]
fn exec_or_run(mut command: Command) -> Result<(), Failure> {
    use std::os::unix::process::CommandExt as _;
    Err(not_started(&command.exec()))
}

#[cfg(not(unix))]
fn exec_or_run(mut command: Command) -> Result<(), Failure> {
    let status = command.status().map_err(|error| not_started(&error))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX);
    if code == 0 { Ok(()) } else { Err(Failure::AlreadyReported(code)) }
}

fn not_started(error: &std::io::Error) -> Failure {
    let is_missing = error.kind() == std::io::ErrorKind::NotFound;
    let advice = if is_missing { "; install the OpenSSH client (Debian: openssh-client)" } else { "" };
    Failure::Other(anyhow!("cannot run `ssh`: {error}{advice}"))
}

fn host_block(proxy_command: &str) -> String {
    format!(
        "# Written by `devstream ssh-config`: every device as a host, as in `ssh pi-42{SUFFIX}`.\n\
         # Put further settings for devices, such as User pi, into a `Host *{SUFFIX}` block of your own.\n\
         # Leave ServerAliveInterval at 0 for them: devstream detects dead connections itself, and resumes streams\n\
         # that ssh would give up.\n\
         Host *{SUFFIX} {NO_QUOTE}\n    \
         ProxyCommand {proxy_command}\n\
         # The same for a host of yours whose HostName is a device, which is known after all blocks are read.\n\
         Match final host {NO_QUOTE_LIST}\n    \
         ProxyCommand {proxy_command}\n"
    )
}

/// The quote between which the shell takes everything literally.
const QUOTE: char = if cfg!(windows) { '"' } else { '\'' };

/// The pattern that excludes hosts with such a quote in their name.
const NO_QUOTE: &str = if cfg!(windows) { "'!*\"*'" } else { "\"!*'*\"" };

/// The same as a list with the devices, for Match.
const NO_QUOTE_LIST: &str = if cfg!(windows) { "'*.devstream,!*\"*'" } else { "\"*.devstream,!*'*\"" };

/// Returns the command that OpenSSH runs instead of connecting. The host is `%n`, as typed, or `%h`, in lower case and
/// after HostName, which other programs that read its configuration (Paramiko) know alone.
/// Before OpenSSH 9.6 it may contain shell syntax (CVE-2023-51385), so it is quoted, and hosts with such a quote in
/// their name are excluded.
fn proxy_command(
    host: &str,
    stream: &StreamName,
    profile: Option<&Profile>,
    session: &SessionArgs,
) -> anyhow::Result<String> {
    let program = std::env::current_exe().context("cannot determine this program's path")?;
    let program = program.to_str().filter(|path| !path.contains('\n'));
    let program =
        program.context("this program's path cannot be part of an OpenSSH configuration line; move the program")?;
    // Without a name, the default profile at the time of connection.
    let profile = profile.map(|named| format!(" --profile {named}")).unwrap_or_default();
    let with_value = |(flag, value): &(&str, Option<String>)| match value {
        Some(value) => format!(" {flag} {}", shell_quote(value)),
        None => format!(" {flag}"),
    };
    let session: String = session.flags()?.iter().map(with_value).collect();
    let program = shell_quote(program);
    Ok(format!(
        "{program} service-proxy{profile}{session} --device={QUOTE}{host}{QUOTE} --strip {SUFFIX} --stdio --stream {stream}"
    ))
}

/// Quotes an argument for OpenSSH's tokens and the shell that it runs.
fn shell_quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_-.+:,@%\\".contains(c);
    let quoted = if cfg!(windows) {
        format!("\"{text}\"")
    } else if text.chars().all(|c| plain(c) && c != '\\') {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    };
    quoted.replace('%', "%%")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_argument_to_openssh_and_its_shell() {
        for (path, written) in [
            ("/usr/bin/devstream", "/usr/bin/devstream"),
            ("/opt/my tools/devstream", "'/opt/my tools/devstream'"),
            ("/opt/it's/devstream", r"'/opt/it'\''s/devstream'"),
            ("/opt/100%/$HOME", "'/opt/100%%/$HOME'"),
            (r"/opt/a\b", r"'/opt/a\b'"),
        ] {
            assert_eq!(shell_quote(path), written);
        }
    }
}

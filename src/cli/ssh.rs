//! `devstream ssh` and `devstream ssh-config`: OpenSSH with `service-proxy --stdio` in between.

mod config;

use std::process::Command;

use anyhow::{Context as _, anyhow};

use self::config::{include, remove};
use super::args::{Ssh, SshConfig};
use super::profile::Profile;
use super::{Failure, output};
use crate::proto::id::StreamName;

/// What a device's id is followed by in the names of hosts, so that OpenSSH knows them from others.
const SUFFIX: &str = ".devstream";

/// Prints, installs or removes the block for every device.
pub(super) fn configure(wanted: &SshConfig) -> Result<(), Failure> {
    if wanted.uninstall {
        return Ok(remove()?);
    }
    let host_block = host_block(&proxy_command(&wanted.stream, wanted.profile.as_ref())?);
    if wanted.install {
        include(&host_block)?;
        output::eprint("ssh-config: next: ssh ID.devstream, with the id of a device that `devstream devices` shows");
    } else {
        output::print(&host_block);
    }
    Ok(())
}

/// Becomes `ssh`, which only returns if that is impossible.
pub(super) fn run(ssh: Ssh) -> Result<(), Failure> {
    // To `ssh` it would be an option.
    if ssh.login.device.as_str().starts_with('-') {
        return Err(Failure::Usage(anyhow!("a device whose id begins with '-' has no name that `ssh` takes")));
    }
    let mut command = Command::new("ssh");
    command.arg("-o").arg(format!("ProxyCommand={}", proxy_command(&ssh.stream, ssh.profile.as_ref())?));
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
    let advice = if is_missing { "; install OpenSSH's client, in Debian the package openssh-client" } else { "" };
    Failure::Other(anyhow!("cannot run `ssh`: {error}{advice}"))
}

fn host_block(proxy_command: &str) -> String {
    format!(
        "# Written by `devstream ssh-config`: every device as a host, as in `ssh pi-42{SUFFIX}`.\n\
         # What else holds for devices goes into a `Host *{SUFFIX}` of your own, such as: User pi\n\
         # Leave ServerAliveInterval at 0 for them: devstream notices dead connections by itself, and resumes those\n\
         # that ssh would give up.\n\
         Host *{SUFFIX} {NO_QUOTE}\n    \
         ProxyCommand {proxy_command}\n"
    )
}

/// What the shell takes literally stands between two of these.
const QUOTE: char = if cfg!(windows) { '"' } else { '\'' };

/// No host with such a quote in its name, as OpenSSH writes that.
const NO_QUOTE: &str = if cfg!(windows) { "'!*\"*'" } else { "\"!*'*\"" };

/// What OpenSSH runs in place of a connection. `%n` is the host as it was typed: of `%h`, capitals are lost. Before 9.6 that may
/// be anything (CVE-2023-51385), so it is quoted for the shell, and the block is for no host with such a quote in its name.
fn proxy_command(stream: &StreamName, profile: Option<&Profile>) -> anyhow::Result<String> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let program = program.to_str().filter(|path| !path.contains('\n'));
    let program = program.context("this program's path is none that a line of OpenSSH's can have; move it")?;
    // Where none was named, the one that holds then.
    let profile = profile.map(|named| format!(" --profile {named}")).unwrap_or_default();
    let program = shell_quote(program);
    Ok(format!("{program} service-proxy{profile} --device={QUOTE}%n{QUOTE} --strip {SUFFIX} --stdio --stream {stream}"))
}

/// One word for the shell that OpenSSH runs, after its own tokens were replaced.
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
    fn a_path_is_one_word_to_openssh_and_its_shell() {
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

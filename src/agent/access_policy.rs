//! The device's own access policy, checked after the hub's: allowed services, and a command that decides about each
//! stream.

use std::io;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::config::AccessPolicy;
use crate::net::os::orphans;
use crate::proto::id::DeviceId;
use crate::proto::limits::{ACCEPT_COMMAND_TIMEOUT, REASON_CHARS};
use crate::proto::message::StreamRequest;
use crate::proto::refusal::{Refusal, RefusalKind};

/// Time to read the output that an exited command has left in its pipe.
const OUTPUT_GRACE: Duration = Duration::from_millis(100);

/// The exit statuses of a shell that cannot run a command: it is not executable, or not found.
const NOT_RUN: [Option<i32>; 2] = [Some(126), Some(127)];

/// Checks the request against the policy; the error says which part rejected it.
pub(super) async fn check(policy: &AccessPolicy, device: &DeviceId, request: &StreamRequest) -> Result<(), Refusal> {
    let allowed = &policy.services;
    if !allowed.is_empty() && !allowed.iter().any(|glob| glob.matches(request.service.as_str())) {
        let detail = format!("its access policy does not allow {}", request.service);
        return Err(Refusal::new(RefusalKind::RejectedByDevice, detail));
    }
    match &policy.command {
        Some(command) => run_accept_command(command, device, request).await,
        None => Ok(()),
    }
}

/// Runs the command with the request in its environment. Exit status 0 accepts the stream; otherwise the first line of
/// its output is the reason.
async fn run_accept_command(command: &str, device: &DeviceId, request: &StreamRequest) -> Result<(), Refusal> {
    let rejected = |why: String| Refusal::new(RefusalKind::RejectedByDevice, why);
    let mut shell = shell(command);
    shell
        .env("DEVSTREAM_DEVICE", device.as_str())
        .env("DEVSTREAM_SERVICE", request.service.as_str())
        .env("DEVSTREAM_SOURCE", request.source.to_string())
        .env("DEVSTREAM_STREAM", request.stream_name.as_str())
        .env("DEVSTREAM_REQUEST", request.request_id.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let child = orphans::spawn(&mut shell);
    let (_own, mut child) = child.map_err(|error| rejected(format!("its accept command cannot run: {error}")))?;
    let mut process_group = ProcessGroup::of(&child);
    let ended = timeout(ACCEPT_COMMAND_TIMEOUT, wait_with_output(&mut child)).await;
    if ended.is_ok() {
        process_group.disarm();
    }
    match ended {
        Ok(Ok((status, _))) if status.success() => Ok(()),
        Ok(Ok((status, captured))) => {
            let what = if NOT_RUN.contains(&status.code()) { "cannot be run" } else { "rejected it" };
            Err(rejected(captured.unwrap_or_else(|| format!("its accept command {what}: {status}"))))
        }
        Ok(Err(error)) => Err(rejected(format!("its accept command failed: {error}"))),
        Err(_) => Err(rejected(format!("its accept command took more than {} s", ACCEPT_COMMAND_TIMEOUT.as_secs()))),
    }
}

/// Runs the command with `sh`, in a process group of its own.
#[cfg(unix)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).process_group(0);
    shell
}

/// Runs the command with `cmd`, unescaped: `cmd` parses quotes itself.
#[cfg(windows)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd");
    shell.args(["/D", "/S", "/C"]).raw_arg(format!("\"{command}\""));
    shell
}

/// The command's process group, killed on drop unless the command has exited by itself.
#[cfg(unix)]
struct ProcessGroup(Option<Pid>);

#[cfg(unix)]
impl ProcessGroup {
    /// The command leads its group, so its process id is the group's.
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)))
    }

    /// Leaves background processes of the exited command alone.
    fn disarm(&mut self) {
        self.0 = None;
    }
}

#[cfg(unix)]
impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Fails if all of them have exited meanwhile.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// The command alone, killed on drop by `kill_on_drop`.
#[cfg(not(unix))]
struct ProcessGroup;

#[cfg(not(unix))]
impl ProcessGroup {
    fn of(_: &Child) -> Self {
        Self
    }

    fn disarm(&mut self) {}
}

/// Waits for the exit status, and returns it with the first line of the output.
async fn wait_with_output(child: &mut Child) -> io::Result<(ExitStatus, Option<String>)> {
    let mut captured = Vec::new();
    let output = child.stdout.take();
    let status = {
        let mut reading = pin!(read_output(output, &mut captured));
        let mut is_complete = false;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                () = &mut reading, if !is_complete => is_complete = true,
            }
        };
        // Output may still be in the pipe, which a background process may hold open.
        if !is_complete {
            let _ = timeout(OUTPUT_GRACE, reading).await;
        }
        status
    };
    let captured = String::from_utf8_lossy(&captured).lines().next().map(str::trim).map(str::to_owned);
    Ok((status, captured.filter(|line| !line.is_empty())))
}

/// Keeps the beginning of the output and drains the rest, so that a full pipe does not block the command.
async fn read_output(output: Option<ChildStdout>, captured: &mut Vec<u8>) {
    let Some(mut output) = output else { return };
    // A read error ends the output.
    let _ = (&mut output).take(REASON_CHARS as u64).read_to_end(captured).await;
    let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::id::StreamId;
    use crate::proto::secret::StreamToken;

    #[cfg(unix)]
    const PRINT_ENVIRONMENT: &str =
        r#"printf '"%s" %s %s' "$DEVSTREAM_SERVICE" "$DEVSTREAM_STREAM" "$DEVSTREAM_SOURCE"; exit 1"#;
    #[cfg(windows)]
    const PRINT_ENVIRONMENT: &str = r#"echo "%DEVSTREAM_SERVICE%" %DEVSTREAM_STREAM% %DEVSTREAM_SOURCE%& exit 1"#;

    #[tokio::test]
    async fn the_command_finds_the_request_in_its_environment() {
        let request = StreamRequest {
            request_id: StreamId::from_bytes([1; 16]),
            url: "wss://hub/".into(),
            stream_name: "ssh".parse().unwrap(),
            authorization_token: Some(StreamToken::new([1; 32])),
            protocol: None,
            service: "alice".parse().unwrap(),
            source: ([192, 0, 2, 1], 50000).into(),
            reusable: false,
            end_to_end: false,
            resume_grant: None,
        };
        let refusal = run_accept_command(PRINT_ENVIRONMENT, &"pi-42".parse().unwrap(), &request).await.unwrap_err();
        assert_eq!(refusal.detail.as_str(), r#""alice" ssh 192.0.2.1:50000"#);
    }
}

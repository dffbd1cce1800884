//! The device's own say: which services it lets in, whatever the hub thinks, and a command that is asked about each
//! stream.

use std::process::{ExitStatus, Stdio};

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::config::Consent;
use crate::proto::id::DeviceId;
use crate::proto::limits::{ACCEPT_COMMAND_TIMEOUT, REASON_CHARS};
use crate::proto::message::StreamRequest;
use crate::proto::refusal::{Kind, Refusal};

/// Whether this device wants the stream.
pub(super) async fn ask(consent: &Consent, device: &DeviceId, request: &StreamRequest) -> Result<(), Refusal> {
    let allowed = &consent.services;
    if !allowed.is_empty() && !allowed.iter().any(|glob| glob.matches(request.service.as_str())) {
        let detail = format!("it does not let {} in", request.service);
        return Err(Refusal::new(Kind::RejectedByDevice, detail));
    }
    match &consent.command {
        Some(command) => run(command, device, request).await,
        None => Ok(()),
    }
}

/// Runs the command with the particulars in its environment. Status 0 is a yes; with anything else, the first line of
/// its output is the reason.
async fn run(command: &str, device: &DeviceId, request: &StreamRequest) -> Result<(), Refusal> {
    let no = |why: String| Refusal::new(Kind::RejectedByDevice, why);
    let child = Command::new("/bin/sh")
        .args(["-c", command])
        .env("DEVSTREAM_DEVICE", device.as_str())
        .env("DEVSTREAM_SERVICE", request.service.as_str())
        .env("DEVSTREAM_SOURCE", &request.source)
        .env("DEVSTREAM_STREAM", request.stream_name.as_str())
        .env("DEVSTREAM_REQUEST", request.request_id.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| no(format!("its accept command cannot run: {error}")))?;
    match timeout(ACCEPT_COMMAND_TIMEOUT, outcome(&mut child)).await {
        Ok(Ok((status, _))) if status.success() => Ok(()),
        Ok(Ok((status, said))) => Err(no(said.unwrap_or_else(|| format!("its accept command said no: {status}")))),
        Ok(Err(error)) => Err(no(format!("its accept command failed: {error}"))),
        Err(_) => Err(no(format!("its accept command took more than {} s", ACCEPT_COMMAND_TIMEOUT.as_secs()))),
    }
}

/// How the command ended, and the first line of what it said.
async fn outcome(child: &mut Child) -> std::io::Result<(ExitStatus, Option<String>)> {
    let mut said = Vec::new();
    if let Some(mut output) = child.stdout.take() {
        (&mut output).take(REASON_CHARS as u64).read_to_end(&mut said).await?;
        // The rest is of no interest, but who says it must not be stopped by that.
        tokio::io::copy(&mut output, &mut tokio::io::sink()).await?;
    }
    let said = String::from_utf8_lossy(&said).lines().next().map(str::trim).map(str::to_owned);
    Ok((child.wait().await?, said.filter(|line| !line.is_empty())))
}

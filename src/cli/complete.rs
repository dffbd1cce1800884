//! Completions: the shell asks this program at each TAB, which knows its own flags, the profiles of this machine, and,
//! from the hub, the devices and what they offer; for the commands of a hub, all that it knows.
//!
//! Somebody is typing: whatever is wrong, nothing is said, and nothing is offered.

mod argv;
mod device_cache;
pub(super) mod hub;

use std::env;
use std::ffi::OsStr;
use std::process::ExitCode;
use std::time::Duration;

use clap_complete::CompleteEnv;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{Bash, EnvCompleter, Fish, Powershell, Zsh};

pub(super) use self::device_cache::store;
use super::args::Shell;
use super::profile::Profile;
use super::{command, role_settings};
use crate::proto::admin::DeviceStatus;

/// Which shell asks, if one does.
const COMPLETE_VAR: &str = "DEVSTREAM_COMPLETE";

const PROGRAM: &str = "devstream";

/// Together with two starts of this program, 300 ms: longer, a TAB seems to do nothing.
const REPLY_TIMEOUT: Duration = Duration::from_millis(200);

/// More candidates than this are no help.
const MAX_CANDIDATES: usize = 1000;

/// clap's registration gets from bash what bash calls words.
const WHOLE_WORDS: &str = include_str!("complete/registration.bash");

/// Answers, if it is a shell that started this program.
pub(super) fn answer() -> Option<ExitCode> {
    let here = env::current_dir().ok();
    let engine = CompleteEnv::with_factory(command).var(COMPLETE_VAR).bin(PROGRAM).completer(PROGRAM);
    match engine.try_complete(env::args_os(), here.as_deref()) {
        Ok(false) => None,
        Ok(true) => Some(ExitCode::SUCCESS),
        Err(_) => Some(ExitCode::FAILURE),
    }
}

/// What a shell runs once, so that it asks from then on.
pub(super) fn registration(shell: Shell) -> anyhow::Result<String> {
    let (shell, extra): (&dyn EnvCompleter, _) = match shell {
        Shell::Bash => (&Bash, WHOLE_WORDS),
        Shell::Zsh => (&Zsh, ""),
        Shell::Fish => (&Fish, ""),
        Shell::Powershell => (&Powershell, ""),
    };
    let mut script = Vec::new();
    shell.write_registration(COMPLETE_VAR, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
    Ok(String::from_utf8(script)? + extra)
}

/// The ids of the devices that may be reached, with how they are.
pub(super) fn devices() -> Vec<CompletionCandidate> {
    let candidate =
        |device: DeviceStatus| CompletionCandidate::new(device.id.as_str()).help(Some(state(&device).into()));
    cached_devices().into_iter().map(candidate).collect()
}

/// The same, after whom to log in as there.
pub(super) fn logins(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let (user, prefix) = typed.rsplit_once('@').map_or(("", typed), |(user, _)| typed.split_at(user.len() + 1));
    let matching = cached_devices().into_iter().filter(|device| device.id.as_str().starts_with(prefix));
    let candidate = |device: DeviceStatus| {
        CompletionCandidate::new(format!("{user}{}", device.id)).help(Some(state(&device).into()))
    };
    matching.map(candidate).collect()
}

fn state(device: &DeviceStatus) -> String {
    match &device.online {
        Some(presence) => format!("online, offers {}", list(&presence.forwards)),
        None => "offline".into(),
    }
}

/// What the device offers that was typed, or any of them.
pub(super) fn streams() -> Vec<CompletionCandidate> {
    stream_names().into_iter().map(CompletionCandidate::new).collect()
}

/// The same after the port that leads there.
pub(super) fn locals(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some((port, prefix)) = typed.to_str().and_then(|typed| typed.split_once('=')) else { return Vec::new() };
    let matching = stream_names().into_iter().filter(|name| name.starts_with(prefix));
    matching.map(|name| CompletionCandidate::new(format!("{port}={name}"))).collect()
}

/// The profiles of this machine.
pub(super) fn profiles() -> Vec<CompletionCandidate> {
    Profile::all().unwrap_or_default().iter().map(|profile| CompletionCandidate::new(profile.as_str())).collect()
}

fn stream_names() -> Vec<String> {
    let device = argv::value("device");
    let meant = |status: &DeviceStatus| device.as_deref().is_none_or(|device| device == status.id.as_str());
    let online = cached_devices().into_iter().filter(meant).filter_map(|status| status.online);
    let mut names: Vec<_> = online.flat_map(|presence| presence.forwards).map(String::from).collect();
    names.sort();
    names.dedup();
    names
}

fn cached_devices() -> Vec<DeviceStatus> {
    // What else was typed says which hub is asked, and how.
    let flags = argv::flags(&["hub", "ca", "via", "via-login", "profile"]);
    role_settings::devices(&flags).map(|devices| device_cache::devices(&devices.hub, &flags)).unwrap_or_default()
}

fn list(names: &[impl ToString]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

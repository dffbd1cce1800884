//! Completions: the shell asks this program at each TAB, which knows its own flags, the profiles of this machine, and,
//! from the hub, the devices and what they offer.
//!
//! Somebody is typing: whatever is wrong, nothing is said, and nothing is offered.

mod known;

use std::env;
use std::ffi::OsStr;
use std::process::ExitCode;

use clap_complete::CompleteEnv;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{Bash, EnvCompleter, Fish, Powershell, Zsh};

pub(super) use self::known::remember;
use super::args::Shell;
use super::command;
use super::profile::Profile;
use crate::proto::admin::DeviceStatus;

/// Which shell asks, if one does.
const ASKED: &str = "DEVSTREAM_COMPLETE";

const PROGRAM: &str = "devstream";

/// Answers, if it is a shell that started this program.
pub(super) fn answer() -> Option<ExitCode> {
    let here = env::current_dir().ok();
    let engine = CompleteEnv::with_factory(command).var(ASKED).bin(PROGRAM).completer(PROGRAM);
    match engine.try_complete(env::args_os(), here.as_deref()) {
        Ok(false) => None,
        Ok(true) => Some(ExitCode::SUCCESS),
        Err(_) => Some(ExitCode::FAILURE),
    }
}

/// What a shell runs once, so that it asks from then on.
pub(super) fn registration(shell: Shell) -> anyhow::Result<String> {
    let shell: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
        Shell::Powershell => &Powershell,
    };
    let mut script = Vec::new();
    shell.write_registration(ASKED, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
    Ok(String::from_utf8(script)?)
}

/// The ids of the devices that may be reached, with how they are.
pub(super) fn devices() -> Vec<CompletionCandidate> {
    let state = |device: &DeviceStatus| match &device.online {
        Some(presence) => format!("online, offers {}", list(&presence.forwards)),
        None => "offline".into(),
    };
    let candidate =
        |device: DeviceStatus| CompletionCandidate::new(device.id.as_str()).help(Some(state(&device).into()));
    known().into_iter().map(candidate).collect()
}

/// What the device offers that was typed, or any of them.
pub(super) fn streams() -> Vec<CompletionCandidate> {
    offered().into_iter().map(CompletionCandidate::new).collect()
}

/// The same after the port that leads there.
pub(super) fn locals(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some((port, begun)) = typed.to_str().and_then(|typed| typed.split_once('=')) else { return Vec::new() };
    let fitting = offered().into_iter().filter(|name| name.starts_with(begun));
    fitting.map(|name| CompletionCandidate::new(format!("{port}={name}"))).collect()
}

/// The profiles of this machine.
pub(super) fn profiles() -> Vec<CompletionCandidate> {
    Profile::all().unwrap_or_default().iter().map(|profile| CompletionCandidate::new(profile.as_str())).collect()
}

fn offered() -> Vec<String> {
    let device = typed("device");
    let meant = |status: &DeviceStatus| device.as_deref().is_none_or(|device| device == status.id.as_str());
    let online = known().into_iter().filter(meant).filter_map(|status| status.online);
    let mut names: Vec<_> = online.flat_map(|presence| presence.forwards).map(String::from).collect();
    names.sort();
    names.dedup();
    names
}

fn known() -> Vec<DeviceStatus> {
    // What else was typed says which hub is asked, and how.
    let flags =
        ["hub", "ca", "via", "via-login"].into_iter().filter_map(|flag| Some(format!("--{flag}={}", typed(flag)?)));
    let named = typed("profile").or_else(|| env::var("DEVSTREAM_PROFILE").ok());
    known::devices(named.as_deref(), &flags.collect::<Vec<_>>())
}

/// The value of a flag on the line that is being typed, which stands after this program's own `--`.
fn typed(flag: &str) -> Option<String> {
    let words: Vec<String> =
        env::args_os().skip_while(|word| word != "--").filter_map(|word| word.into_string().ok()).collect();
    let flag = format!("--{flag}");
    let together = words.iter().find_map(|word| word.strip_prefix(&flag)?.strip_prefix('='));
    let apart = || words.windows(2).find_map(|pair| (pair[0] == flag).then_some(pair[1].as_str()));
    together.or_else(apart).map(str::to_owned)
}

fn list(names: &[impl ToString]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

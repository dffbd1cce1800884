//! Completions: the shell asks this program at each TAB, which knows its own flags, the profiles of this machine, and,
//! from the hub, the devices and what they offer; for the commands of a hub, all that it knows.
//!
//! Somebody is typing: whatever is wrong, nothing is said, and nothing is offered.

mod argv;
mod attach;
mod candidates;
mod device_cache;
mod hub;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use clap_complete::CompleteEnv;
use clap_complete::env::{Bash, EnvCompleter, Fish, Powershell, Zsh};

pub(super) use self::attach::attach_completers;
pub(super) use self::device_cache::store;
use super::args::Shell;
use super::command;

/// Which shell asks, if one does.
const COMPLETE_VAR: &str = "DEVSTREAM_COMPLETE";

const PROGRAM: &str = "devstream";

/// Together with two starts of this program, 300 ms: longer, a TAB seems to do nothing.
const REPLY_TIMEOUT: Duration = Duration::from_millis(200);

/// More candidates than this are no help.
const MAX_CANDIDATES: usize = 1000;

/// clap's registration gets from bash what bash calls words.
const WHOLE_WORDS: &str = include_str!("registration.bash");

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

fn list(names: &[impl ToString]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

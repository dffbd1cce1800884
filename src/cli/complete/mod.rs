//! Completions. At each TAB the shell runs this program, which completes its flags, the profiles of this machine, and
//! the devices and streams that the hub lists; for `devstream hub`, everything that the local hub knows.
//!
//! In: the command line so far, from the shell. Out: candidates. An error yields none, and no message: a person is
//! typing.

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

/// The variable with which a shell's script asks for candidates; it names the shell.
const COMPLETE_VAR: &str = "DEVSTREAM_COMPLETE";

const PROGRAM: &str = "devstream";

/// The limit on a request for candidates. With two starts of this program it makes 300 ms; longer, a TAB seems to do
/// nothing.
const REPLY_TIMEOUT: Duration = Duration::from_millis(200);

/// The limit on candidates; more are no help.
const MAX_CANDIDATES: usize = 1000;

/// The registration for bash, which breaks words at more characters than a shell's own parser; see the file.
const WHOLE_WORDS: &str = include_str!("registration.bash");

/// Prints the candidates if a shell asks for them; none if this is an ordinary command.
pub(super) fn answer() -> Option<ExitCode> {
    let here = env::current_dir().ok();
    let engine = CompleteEnv::with_factory(command).var(COMPLETE_VAR).bin(PROGRAM).completer(PROGRAM);
    match engine.try_complete(env::args_os(), here.as_deref()) {
        Ok(false) => None,
        Ok(true) => Some(ExitCode::SUCCESS),
        Err(_) => Some(ExitCode::FAILURE),
    }
}

/// Returns the script that registers this program as the completer of a shell.
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

/// Returns the script that completes commands and flags without this program.
pub(super) fn static_script(shell: Shell) -> anyhow::Result<String> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
        Shell::Powershell => clap_complete::Shell::PowerShell,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), PROGRAM, &mut script);
    Ok(String::from_utf8(script)?)
}

fn list(names: &[impl ToString]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

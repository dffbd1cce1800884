//! The completers of flags and arguments, by subcommand. They are attached from outside, so that `args` depends on none
//! of them.

use std::ffi::OsStr;

use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};

use super::{candidates, hub};

/// The source of an argument's candidates.
#[derive(Clone, Copy)]
enum Completer {
    /// All candidates; the shell's word selects among them.
    All(fn() -> Vec<CompletionCandidate>),
    /// The candidates for the word typed so far.
    Matching(fn(&OsStr) -> Vec<CompletionCandidate>),
}

use Completer::{All, Matching};

const DEVICE: &str = "hub device show|hub device disable|hub device enable|hub device rotate|hub device remove";
const SERVICE: &str = "hub service set|hub service show|hub service disable|hub service enable|hub service rotate|\
                       hub service remove";

/// Subcommands, the id of their argument, and its completer.
const COMPLETERS: [(&str, &str, Completer); 16] = [
    ("", "profile", All(candidates::profiles)),
    ("profiles use|profiles remove", "name", All(candidates::profiles)),
    ("fleet sign", "id", All(candidates::devices)),
    ("service-proxy|check|rdp", "device", All(candidates::devices)),
    ("service-proxy|check", "positional_device", All(candidates::devices)),
    ("service-proxy|check|ssh|ssh-config|rdp", "stream", All(candidates::streams)),
    ("service-proxy", "local", Matching(candidates::locals)),
    ("ssh", "login", Matching(candidates::logins)),
    ("hub logs", "device", All(hub::devices)),
    ("hub logs", "service", All(hub::services)),
    (DEVICE, "id", All(hub::devices)),
    (SERVICE, "name", All(hub::services)),
    ("hub service add|hub service set", "devices", All(hub::devices)),
    ("hub service add|hub service set", "streams", All(hub::offered)),
    ("hub enroll remove", "id", All(hub::enrolments)),
    ("hub streams kill", "id", All(hub::streams)),
];

/// Attaches the completers to the command line.
pub(in crate::cli) fn attach_completers(command: Command) -> Command {
    attach(command, "")
}

fn attach(command: Command, path: &str) -> Command {
    let command = command.mut_args(|arg| match completer(path, arg.get_id().as_str()) {
        Some(completer) => with_completer(arg, completer),
        None => arg,
    });
    command.mut_subcommands(|below| {
        let path = format!("{path} {}", below.get_name());
        attach(below, path.trim_start())
    })
}

fn completer(path: &str, id: &str) -> Option<Completer> {
    let found = COMPLETERS.iter().find(|(paths, of, _)| *of == id && paths.split('|').any(|other| other == path));
    found.map(|(_, _, completer)| *completer)
}

fn with_completer(arg: Arg, completer: Completer) -> Arg {
    match completer {
        All(candidates) => arg.add(ArgValueCandidates::new(candidates)),
        Matching(candidates) => arg.add(ArgValueCompleter::new(candidates)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_completer_has_an_argument_to_complete() {
        let root = crate::cli::command();
        for (paths, id, completer) in COMPLETERS {
            for path in paths.split('|') {
                let command = path
                    .split(' ')
                    .filter(|name| !name.is_empty())
                    .try_fold(&root, |command, name| command.find_subcommand(name));
                let arg = command.and_then(|command| command.get_arguments().find(|arg| arg.get_id() == id));
                let arg = arg.unwrap_or_else(|| panic!("'{path}' has no argument {id}"));
                let is_attached = match completer {
                    All(_) => arg.get::<ArgValueCandidates>().is_some(),
                    Matching(_) => arg.get::<ArgValueCompleter>().is_some(),
                };
                assert!(is_attached, "{path} {id}");
            }
        }
    }
}

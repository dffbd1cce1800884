//! What to type instead, for command lines that clap rejects without naming it.

use std::ffi::OsString;

use clap::Command;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::proto::forward::{Forward, LocalForward};
use crate::proto::id::{DeviceId, StreamName};

/// Adds the tip to an error, if there is one; one of clap's that helps nobody goes.
pub(super) fn with_tip(mut error: clap::Error, command: &Command, args: &[OsString]) -> clap::Error {
    let words: Vec<_> = args.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    keep_one_subcommand(&mut error);
    if let Some(tip) = tip(&error, command, &words) {
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    } else if error.kind() == ErrorKind::UnknownArgument {
        // How to pass what looks like a flag as a value. No value here looks like one.
        error.remove(ContextKind::Suggested);
    }
    if error.kind() == ErrorKind::UnknownArgument {
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage(command, &words)));
    }
    error
}

/// The whole usage of the subcommand that was typed; clap's own has some of the arguments that were given, as if they were
/// required.
fn usage(command: &Command, words: &[&str]) -> StyledStr {
    let mut typed = command.clone();
    typed.build();
    for word in words.iter().skip(1) {
        if let Some(subcommand) = typed.find_subcommand(word).cloned() {
            typed = subcommand;
        }
    }
    typed.render_usage()
}

/// Leaves the last of the similar subcommands, which is the most similar one.
fn keep_one_subcommand(error: &mut clap::Error) {
    if let Some(ContextValue::Strings(similar)) = error.get(ContextKind::SuggestedSubcommand)
        && let Some(most) = similar.last().cloned()
    {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![most]));
    }
}

fn tip(error: &clap::Error, command: &Command, words: &[&str]) -> Option<String> {
    let concerns = |flag: &str| match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => arg.starts_with(flag),
        Some(ContextValue::Strings(args)) => args.iter().any(|arg| arg.starts_with(flag)),
        _ => false,
    };
    let is = |kind| error.kind() == kind;
    if is(ErrorKind::MissingRequiredArgument) && words.contains(&"device-agent") && concerns("--forward") {
        return Some("for example --forward 22, or --forward web=8080".into());
    }
    if is(ErrorKind::MissingRequiredArgument) && words.contains(&"service-proxy") && concerns("--local") {
        return Some("for example --local 2222, or --stdio for ssh's ProxyCommand".into());
    }
    if is(ErrorKind::ValueValidation) && words.get(1) == Some(&"trust") && concerns("<device|service>") {
        return peer_without_role(words);
    }
    if is(ErrorKind::InvalidSubcommand) {
        return of_the_hub(error, command).or_else(|| of_a_role(error, words));
    }
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else { return None };
    if !is(ErrorKind::UnknownArgument) {
        return None;
    }
    if typed.starts_with('-') { misplaced_flag(typed, words) } else { misplaced_word(typed, words) }
}

/// Names a command about a peer's key whose role was left out: most are devices.
fn peer_without_role(words: &[&str]) -> Option<String> {
    let [_, trust, command, id, rest @ ..] = words else { return None };
    let key = rest.iter().find(|word| !word.starts_with('-')).unwrap_or(&"KEY");
    let key = if *command == "pin" { format!(" {key}") } else { String::new() };
    let is_id = id.parse::<DeviceId>().is_ok();
    is_id.then(|| format!("did you mean `devstream {trust} {command} device {id}{key}`?"))
}

/// Names a subcommand of `hub` that was typed without it, or the ones that add what `hub add` may mean.
fn of_the_hub(error: &clap::Error, command: &Command) -> Option<String> {
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    if ["add", "remove", "disable", "enable", "rotate"].contains(&typed.as_str()) {
        return Some(format!("did you mean `devstream hub device {typed}`, or `devstream hub service {typed}`?"));
    }
    let hub = command.find_subcommand("hub")?;
    hub.find_subcommand(typed).map(|_| format!("did you mean `devstream hub {typed}`?"))
}

/// Names the command that goes by another word elsewhere. Only the first word is a command of devstream's own.
fn of_a_role(error: &clap::Error, words: &[&str]) -> Option<String> {
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    if words.iter().skip(1).find(|word| !word.starts_with('-')) != Some(&typed.as_str()) {
        return None;
    }
    let meant = match typed.as_str() {
        "agent" | "agents" | "device" | "client" => "device-agent",
        "proxy" | "forward" | "connect" | "tunnel" => "service-proxy",
        "server" | "serve" => "hub",
        "version" => "--version",
        _ => return None,
    };
    Some(format!("did you mean `devstream {meant}`?"))
}

/// Names the flag that was meant by another command's.
fn misplaced_flag(typed: &str, words: &[&str]) -> Option<String> {
    let is = |name| words.get(1) == Some(&name);
    let flag = typed.split_once('=').map_or(typed, |(flag, _)| flag);
    let at = words.iter().position(|word| word.split('=').next() == Some(flag))?;
    let value = words[at].split_once('=').map(|(_, value)| value).or(words.get(at + 1).copied()).unwrap_or_default();
    match flag {
        "--listen" | "--port" if is("service-proxy") => {
            let port = if value.parse::<LocalForward>().is_ok() { value } else { "2222" };
            Some(format!("did you mean --local {port}?"))
        }
        "--forward" if is("service-proxy") => Some(
            "--forward is the device-agent's, on the device; here a local port is given: --local 2222=STREAM".into(),
        ),
        "--port" if is("hub") => {
            Some(format!("did you mean --listen {}?", if value.is_empty() { "443" } else { value }))
        }
        "--device" if is("device-agent") => Some("did you mean --id?".into()),
        _ if is("ssh") && !flag.starts_with("--") => {
            Some(format!("flags of `ssh` go after the device: devstream ssh DEVICE {flag}"))
        }
        _ => None,
    }
}

/// Names the flag that takes a word which has no place where it was typed.
fn misplaced_word(typed: &str, words: &[&str]) -> Option<String> {
    match *words.get(1)? {
        "device-agent" if typed.parse::<Forward>().is_ok() => Some(format!("did you mean --forward {typed}?")),
        "device-agent" => Some(format!("did you mean --id {typed}?")),
        "service-proxy" if typed.parse::<LocalForward>().is_ok() => Some(format!("did you mean --local {typed}?")),
        "devices" | "status" => Some(format!("did you mean `devstream check {typed}`?")),
        "check" if typed.parse::<StreamName>().is_ok() => Some(format!("did you mean --stream {typed}?")),
        "identity" => Some("this shows the machine's own; the keys of others are in `devstream trust list`".into()),
        "profiles" => Some(format!("did you mean --profile {typed}?")),
        "hub" if words.contains(&"service") && words.contains(&"add") => {
            Some(format!("did you mean --device {typed}?"))
        }
        _ => None,
    }
}

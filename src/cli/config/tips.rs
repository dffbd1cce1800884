//! What to type instead, for command lines that clap rejects without naming it.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::proto::forward::LocalForward;

/// Adds the tip to an error, if there is one.
pub(super) fn with_tip(mut error: clap::Error, args: &[OsString]) -> clap::Error {
    if let Some(tip) = tip(&error, args) {
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

fn tip(error: &clap::Error, args: &[OsString]) -> Option<String> {
    if !args.iter().any(|word| word == "service-proxy") {
        return None;
    }
    let concerns = |flag: &str| match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => arg.starts_with(flag),
        Some(ContextValue::Strings(args)) => args.iter().any(|arg| arg.starts_with(flag)),
        _ => false,
    };
    if error.kind() == ErrorKind::MissingRequiredArgument && concerns("--local") {
        return Some("for example --local 2222, or --stdio for ssh's ProxyCommand".into());
    }
    // The hub's flag.
    (error.kind() == ErrorKind::UnknownArgument && concerns("--listen"))
        .then(|| format!("did you mean --local {}?", port_after("--listen", args).unwrap_or("2222")))
}

/// Returns the value of the flag, if it is a local port.
fn port_after<'a>(flag: &str, args: &'a [OsString]) -> Option<&'a str> {
    let words: Vec<_> = args.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let at = words.iter().position(|word| word.starts_with(flag))?;
    let value = words[at].split_once('=').map(|(_, value)| value).or(words.get(at + 1).copied())?;
    value.parse::<LocalForward>().is_ok().then_some(value)
}

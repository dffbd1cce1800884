//! The hub's commands in messages. Where a state directory was named, each names it as well: pasted as it stands, it
//! reaches the same hub.

use std::borrow::Cow;
use std::path::Path;
use std::sync::OnceLock;

/// What messages call the hub's commands by.
const PROGRAM: &str = "devstream hub";

/// The subcommands; a test compares them with the command line's.
const SUBCOMMANDS: [&str; 13] = [
    "device",
    "devices",
    "service",
    "enroll",
    "cluster",
    "streams",
    "status",
    "check",
    "check-config",
    "show",
    "logs",
    "backup",
    "restore",
];

/// The flag, after a space.
static STATE_FLAG: OnceLock<String> = OnceLock::new();

/// Has every message from here on name this state directory.
pub(in crate::cli) fn name_state_dir(directory: &Path) {
    let _ = STATE_FLAG.set(state_flag(directory));
}

/// Adds the state directory to the commands in a message, if it was named.
pub(in crate::cli) fn with_state_dir(message: &str) -> Cow<'_, str> {
    STATE_FLAG.get().map_or(message.into(), |flag| add_flag(message, flag))
}

fn add_flag<'a>(message: &'a str, flag: &str) -> Cow<'a, str> {
    let mut parts = message.split(PROGRAM);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // Not `devstream hub's`, nor the end of a sentence about one.
        let is_command = part.starts_with('`') || part.starts_with(" -") || is_subcommand(part);
        text = text + PROGRAM + if is_command { flag } else { "" } + part;
    }
    text.into()
}

fn is_subcommand(rest: &str) -> bool {
    let word = rest.strip_prefix(' ').and_then(|rest| rest.split([' ', '`', '|', ';', ',', '\n']).next());
    word.is_some_and(|word| SUBCOMMANDS.contains(&word))
}

fn state_flag(directory: &Path) -> String {
    let directory = directory.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if directory.chars().all(is_plain) {
        return format!(" --state-dir {directory}");
    }
    format!(" --state-dir '{}'", directory.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subcommands_are_those_of_the_command_line() {
        let command = crate::cli::command();
        let hub = command.find_subcommand("hub").unwrap();
        let mut defined: Vec<_> = hub.get_subcommands().map(|subcommand| subcommand.get_name()).collect();
        let mut known = SUBCOMMANDS.to_vec();
        defined.sort_unstable();
        known.sort_unstable();
        assert_eq!(known, defined);
    }

    #[test]
    fn commands_name_the_state_directory_and_other_words_about_hubs_do_not() {
        let flag = state_flag(Path::new("/root/my st"));
        assert_eq!(flag, " --state-dir '/root/my st'");
        for (message, expected) in [
            ("start one with `devstream hub`", "start one with `devstream hub --state-dir /x`"),
            (
                "run: devstream hub device|service remove ID",
                "run: devstream hub --state-dir /x device|service remove ID",
            ),
            ("`devstream hub --listen 1`", "`devstream hub --state-dir /x --listen 1`"),
            ("another devstream hub's; no devstream hub (404)", "another devstream hub's; no devstream hub (404)"),
        ] {
            assert_eq!(add_flag(message, &state_flag(Path::new("/x"))), expected);
        }
    }
}

//! The README says what the program does: every command line in it is one that the program takes, and every refusal
//! in its table is in the table of refusals.

use std::path::Path;

use devstream::proto::limits::{
    AUTH_TIMEOUT, CONTROL_FRAME_BURST, CONTROL_FRAMES_PER_SECOND, CONTROL_MESSAGE_BYTES, CONTROL_MESSAGE_DEPTH,
    FORWARDS_PER_DEVICE, HALF_OPEN_GRACE, MAX_RECEIVED_MESSAGE_BYTES, MAX_SENT_MESSAGE_BYTES, MEMORY_BUDGET,
    PENDING_PER_DEVICE, PENDING_PER_SERVICE, PENDING_PER_SERVICE_AND_DEVICE, REQUEST_BODY_BYTES, REQUEST_BODY_TIMEOUT,
    REQUEST_HEAD_BYTES, REQUEST_HEAD_TIMEOUT, REQUEST_HEADERS, STREAM_CONTROL_BYTES, STREAM_RESERVE,
    STREAMS_PER_CLIENT, STREAMS_PER_DEVICE, STREAMS_PER_HUB, STREAMS_PER_SERVICE, TLS_HANDSHAKE_TIMEOUT,
    UNAUTHENTICATED_CONNECTIONS, UNAUTHENTICATED_CONNECTIONS_PER_SOURCE,
};
use devstream::proto::refusal::{RefusalKind, TABLE};

const README: &str = include_str!("../README.md");
const CONTRIBUTING: &str = include_str!("../CONTRIBUTING.md");
const PROTOCOL: &str = include_str!("../src/proto/PROTOCOL.md");

#[test]
fn every_command_in_the_readme_is_one_that_the_program_takes() {
    let commands: Vec<&str> = README.lines().filter_map(command).collect();
    assert!(commands.len() > 15, "the README's commands are no longer found: {commands:?}");
    for command in commands {
        let words = words(command);
        if let Err(error) = devstream::cli::command().try_get_matches_from(&words) {
            panic!("README.md says `{command}`, which fails:\n{error}");
        }
    }
}

#[test]
fn every_exit_code_in_the_readme_is_the_tables() {
    let rows: Vec<(&str, &str)> = README.lines().filter_map(exit_code).collect();
    assert!(rows.len() > 5, "the README's table is no longer found: {rows:?}");
    for (sentence, code) in rows {
        let row = TABLE.iter().find(|row| row.exit.to_string() == code);
        let starts = row.is_some_and(|row| sentence.starts_with(row.sentence));
        assert!(starts, "README.md calls exit code {code} \"{sentence}\"; the table says {row:?}");
    }
}

#[test]
fn every_path_in_the_readme_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code = ["src/lib.rs", "src/proto/limits.rs", "src/proto/PROTOCOL.md", "fuzz/corpus"];
    let checks = ["tests/run", ".ci/run", "tests/fuzz", "tests/soak", "tests/cuts", "tests/package", "tests/systems"];
    let programs = ["examples/echo.rs", "examples/copy.rs", "tests/clients/python/client.py"];
    for path in code.into_iter().chain(checks).chain(programs) {
        assert!(README.contains(path) && root.join(path).exists(), "{path}");
    }
}

#[test]
fn every_path_in_contributing_exists_and_the_page_stays_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Every second part stands between backticks; arguments follow the first space.
    let code = CONTRIBUTING.split('`').skip(1).step_by(2).filter_map(|code| code.split(' ').next());
    let paths: Vec<&str> = code
        .filter(|word| word.contains('/') || ["man", "completions", ".clippy.toml"].contains(word))
        .filter(|word| !word.starts_with("main"))
        .collect();
    assert!(paths.len() > 60, "the paths are no longer found: {paths:?}");
    let missing: Vec<_> = paths.iter().filter(|path| !root.join(path).exists()).collect();
    assert!(missing.is_empty(), "CONTRIBUTING.md names {missing:?}");
    assert!(CONTRIBUTING.lines().count() <= 120, "CONTRIBUTING.md is one page");
    assert!(README.contains("[CONTRIBUTING.md](CONTRIBUTING.md)"), "README.md links the page");
}

#[test]
fn the_limits_in_the_readme_are_the_constants() {
    let kib = |bytes: usize| bytes / 1024;
    for row in [
        format!("| concurrent streams of one device | {STREAMS_PER_DEVICE} |"),
        format!("| the same of one service alone at the device | {} |", STREAMS_PER_DEVICE / 2),
        format!("| concurrent streams of one service | {STREAMS_PER_SERVICE} |"),
        format!("| concurrent streams of one hub | {STREAMS_PER_HUB} |"),
        format!("| streams of one agent or proxy (`--max-streams`) | {STREAMS_PER_CLIENT} |"),
        format!("for all its streams (`--memory-budget`) | {} MiB |", MEMORY_BUDGET / 1024 / 1024),
        format!("down to {} KiB each way", STREAM_RESERVE / 1024),
        format!("room for one stream per {} KiB", 4 * STREAM_RESERVE / 1024),
        format!("| size of a control message | {} KiB |", kib(CONTROL_MESSAGE_BYTES)),
        format!("| size of a request head (`--max-head`) | {} KiB |", kib(REQUEST_HEAD_BYTES)),
        format!("| unauthenticated connections (`--max-unauthenticated`) | {UNAUTHENTICATED_CONNECTIONS} |"),
        format!("(`--max-unauthenticated-per-source`) | {UNAUTHENTICATED_CONNECTIONS_PER_SOURCE} per"),
        format!("| duration of a TLS handshake (`--tls-timeout`) | {TLS_HANDSHAKE_TIMEOUT:?} |"),
        format!("| time from TLS to being authenticated (`--auth-timeout`) | {AUTH_TIMEOUT:?} |"),
    ] {
        let plain = |text: &str| text.replace([',', ' '], "");
        assert!(plain(README).contains(&plain(&row)), "README.md lacks {row}");
    }
}

#[test]
fn the_protocols_table_of_refusals_is_the_tables() {
    for row in TABLE.iter().filter(|row| row.kind != RefusalKind::Other) {
        let kind = serde_json::to_string(&row.kind).expect("a word");
        let line = format!("| `{}` | {} | {} | {} |", kind.trim_matches('"'), row.status, row.close, row.sentence);
        assert!(PROTOCOL.lines().any(|said| said == line), "PROTOCOL.md lacks {line}");
    }
}

#[test]
fn the_protocols_limits_are_the_constants() {
    let (control, text, binary) =
        (CONTROL_MESSAGE_BYTES / 1024, STREAM_CONTROL_BYTES / 1024, MAX_RECEIVED_MESSAGE_BYTES / 1024);
    let (tls, head, body) = (TLS_HANDSHAKE_TIMEOUT, REQUEST_HEAD_TIMEOUT, REQUEST_BODY_TIMEOUT);
    let head = format!("{head:?} and {} KiB in {REQUEST_HEADERS} headers", REQUEST_HEAD_BYTES / 1024);
    for row in [
        format!("{tls:?}; {head}; {body:?} and {} KiB", REQUEST_BODY_BYTES / 1024),
        format!("from TLS to a valid credential | {AUTH_TIMEOUT:?}"),
        format!("from one address | {UNAUTHENTICATED_CONNECTIONS_PER_SOURCE}"),
        format!("on a standby connection | {control} KiB nested {CONTROL_MESSAGE_DEPTH} levels deep"),
        format!("names in a hello | {FORWARDS_PER_DEVICE}"),
        format!("a text message on a stream | {text} KiB"),
        format!(
            "a binary message on a stream | {binary} KiB which the hub passes on as {} KiB",
            MAX_SENT_MESSAGE_BYTES / 1024
        ),
        format!("{CONTROL_FRAME_BURST} at once {CONTROL_FRAMES_PER_SECOND} a second"),
        format!(
            "being opened of one device; of one service; of one service to one device | {PENDING_PER_DEVICE}; \
             {PENDING_PER_SERVICE}; {PENDING_PER_SERVICE_AND_DEVICE} |"
        ),
        format!(
            "streams of one device; of one service; of one service to one device | {STREAMS_PER_DEVICE}; \
             {STREAMS_PER_SERVICE}; as many"
        ),
        format!("has not opened its leg within {} seconds", HALF_OPEN_GRACE.as_secs()),
    ] {
        // Seconds are written apart from their number, and commas are for people.
        let plain = |text: &str| text.replace([',', ' '], "");
        assert!(plain(PROTOCOL).contains(&plain(&row)), "PROTOCOL.md lacks {row}");
    }
}

/// An indented line that runs devstream, without its comment.
fn command(line: &str) -> Option<&str> {
    let command = line.strip_prefix("    ")?.split(" #").next()?.trim();
    command.starts_with("devstream ").then_some(command)
}

/// A row of the table of exit codes.
fn exit_code(line: &str) -> Option<(&str, &str)> {
    let (sentence, code) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
    code.parse::<u8>().is_ok().then_some((sentence, code))
}

/// As a shell would split it; there are only single quotes.
fn words(command: &str) -> Vec<String> {
    let quoted = command.split('\'').enumerate();
    let mut words = vec![String::new()];
    for (index, part) in quoted {
        let mut pieces = if index % 2 == 1 { vec![part] } else { part.split(' ').collect() }.into_iter();
        if let (Some(first), Some(last)) = (pieces.next(), words.last_mut()) {
            last.push_str(first);
        }
        words.extend(pieces.map(str::to_owned));
    }
    words.retain(|word| !word.is_empty());
    words
}

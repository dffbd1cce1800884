//! README.md, CONTRIBUTING.md and PROTOCOL.md say what the program does. tests/docs.rs checks the pages of docs/.

mod pages;

use std::fs;

use devstream::proto::limits::{
    AUTH_TIMEOUT, CONTROL_FRAME_BURST, CONTROL_FRAMES_PER_SECOND, CONTROL_MESSAGE_BYTES, CONTROL_MESSAGE_DEPTH,
    CONTROL_MESSAGE_TIME, FORWARDS_PER_DEVICE, HALF_OPEN_GRACE, MAX_RECEIVED_MESSAGE_BYTES, MAX_SENT_MESSAGE_BYTES,
    PENDING_PER_DEVICE, PENDING_PER_SERVICE, PENDING_PER_SERVICE_AND_DEVICE, REQUEST_BODY_BYTES, REQUEST_BODY_TIMEOUT,
    REQUEST_HEAD_BYTES, REQUEST_HEAD_TIMEOUT, REQUEST_HEADERS, STREAM_CONTROL_BYTES, STREAMS_PER_DEVICE,
    STREAMS_PER_SERVICE, TLS_HANDSHAKE_TIMEOUT, UNAUTHENTICATED_CONNECTIONS_PER_SOURCE,
};
use devstream::proto::refusal::{RefusalKind, TABLE};

use pages::{Page, plain, root};

/// What an engineer reads before deciding.
const README_LINES: usize = 150;

const README: &str = include_str!("../README.md");
const CONTRIBUTING: &str = include_str!("../CONTRIBUTING.md");
const PROTOCOL: &str = include_str!("../src/proto/PROTOCOL.md");

#[test]
fn every_command_in_the_readme_is_one_that_the_program_takes() {
    let readme = Page::read("README.md");
    assert!(readme.commands().len() >= 10, "the README's commands are no longer found: {:?}", readme.commands());
    readme.check_commands();
    readme.check_paths();
}

#[test]
fn the_readme_stays_short_and_names_the_rust_version_that_is_needed() {
    let lines = README.lines().count();
    assert!(lines <= README_LINES, "README.md has {lines} lines; what is more belongs into docs/");
    let version = concat!("Rust ", env!("CARGO_PKG_RUST_VERSION"));
    for page in [Page::read("README.md"), Page::read("docs/install.md")] {
        assert!(page.text.contains(version), "{} does not say that it needs {version}", page.name);
    }
}

#[test]
fn every_page_is_linked_by_the_readme_and_by_the_index() {
    let (readme, index) = (Page::read("README.md"), Page::read("docs/README.md"));
    for page in Page::all().iter().filter(|page| page.name.starts_with("docs/") && page.name != index.name) {
        assert!(readme.links().contains(&page.name), "README.md does not link {}", page.name);
        let file = page.name.trim_start_matches("docs/");
        assert!(index.links().iter().any(|link| link == file), "docs/README.md does not link {file}");
    }
}

#[test]
fn the_three_numbers_are_those_of_the_plot() {
    let figures = fs::read_to_string(root().join("docs/pictures/figures.json")).expect("the figures");
    let figures: serde_json::Value = serde_json::from_str(&figures).expect("JSON");
    let median =
        |figure: usize, tunnel: &str| figures["figures"][figure]["medians"][tunnel].as_f64().expect("a number");
    let (lossy, tls, first) = (median(0, "devstream"), median(0, "tls_alone"), median(2, "devstream"));
    let words = README.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        format!(
            "one stream carries **{lossy:.1} MiB/s**, because devstream asks the kernel for BBR; TLS alone carries {tls:.2}"
        ),
        format!("**one round trip**: {first:.0} ms"),
    ] {
        assert!(words.contains(&said), "README.md does not say: {said}");
    }
}

#[test]
fn every_path_in_contributing_exists_and_the_page_stays_short() {
    // Every second part stands between backticks; arguments follow the first space.
    let code = CONTRIBUTING.split('`').skip(1).step_by(2).filter_map(|code| code.split(' ').next());
    let paths: Vec<&str> = code
        .filter(|word| word.contains('/') || ["man", "completions", ".clippy.toml"].contains(word))
        .filter(|word| !word.starts_with("main"))
        .collect();
    assert!(paths.len() > 60, "the paths are no longer found: {paths:?}");
    let missing: Vec<_> = paths.iter().filter(|path| !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "CONTRIBUTING.md names {missing:?}");
    assert!(CONTRIBUTING.lines().count() <= 140, "CONTRIBUTING.md is one page");
    assert!(README.contains("[CONTRIBUTING.md](CONTRIBUTING.md)"), "README.md links the page");
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
        format!("once a part of it has arrived | within {CONTROL_MESSAGE_TIME:?};"),
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
        assert!(plain(PROTOCOL).contains(&plain(&row)), "PROTOCOL.md lacks {row}");
    }
}

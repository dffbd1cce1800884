//! The pages of docs/ say what the program does: commands, flags, exit codes, limits, links and pictures are real.

mod pages;

use std::collections::HashMap;
use std::fs;

use devstream::proto::limits::{
    AUTH_TIMEOUT, CONTROL_MESSAGE_BYTES, CONTROL_MESSAGE_TIME, MEMORY_BUDGET, REQUEST_HEAD_BYTES, STREAM_RESERVE,
    STREAMS_PER_CLIENT, STREAMS_PER_DEVICE, STREAMS_PER_HUB, STREAMS_PER_SERVICE, TLS_HANDSHAKE_TIMEOUT,
    UNAUTHENTICATED_CONNECTIONS, UNAUTHENTICATED_CONNECTIONS_PER_SOURCE,
};
use devstream::proto::refusal::{RefusalKind, TABLE};

use pages::{Page, plain, root};

/// A paragraph from this length on stands in one place only.
const PARAGRAPH: usize = 120;
/// A page with pictures loads in a moment, on a phone too.
const PICTURE_BYTES: u64 = 300 * 1024;

#[test]
fn every_command_and_flag_in_the_pages_is_one_that_the_program_has() {
    let pages = Page::all();
    let commands: usize = pages.iter().map(|page| page.commands().len()).sum();
    assert!(commands > 60, "the commands are no longer found: {commands}");
    pages.iter().for_each(Page::check_commands);
}

#[test]
fn every_link_and_path_in_the_pages_leads_somewhere() {
    let pages = Page::all();
    let links: usize = pages.iter().map(|page| page.links().len()).sum();
    assert!(links > 40, "the links are no longer found: {links}");
    pages.iter().for_each(Page::check_paths);
}

#[test]
fn no_paragraph_stands_in_two_places() {
    let mut places: HashMap<String, String> = HashMap::new();
    for page in Page::all() {
        for paragraph in page.text.split("\n\n").filter(|paragraph| paragraph.len() >= PARAGRAPH) {
            let words = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
            if let Some(other) = places.insert(words, page.name.clone()) {
                panic!("{other} and {} both say:\n{paragraph}", page.name);
            }
        }
    }
}

#[test]
fn every_exit_code_has_its_row_in_troubleshooting() {
    let page = Page::read("docs/troubleshooting.md");
    let refusals = TABLE.iter().filter(|row| row.kind != RefusalKind::Other);
    for row in refusals.clone() {
        let start = format!("| {} | {} | ", row.exit, row.sentence);
        assert!(page.text.lines().any(|line| line.starts_with(&start)), "docs/troubleshooting.md lacks {start}");
    }
    let is_code = |line: &&str| line.split('|').nth(1).is_some_and(|cell| cell.trim().parse::<u8>().is_ok());
    assert_eq!(page.text.lines().filter(is_code).count(), refusals.count(), "rows for codes that do not exist");
}

#[test]
fn the_limits_in_the_pages_are_the_constants() {
    let page = Page::read("docs/limits.md");
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
        format!("once a part has arrived | {} s |", CONTROL_MESSAGE_TIME.as_secs()),
        format!("| size of a request head (`--max-head`) | {} KiB |", kib(REQUEST_HEAD_BYTES)),
        format!("| unauthenticated connections (`--max-unauthenticated`) | {UNAUTHENTICATED_CONNECTIONS} |"),
        format!("(`--max-unauthenticated-per-source`) | {UNAUTHENTICATED_CONNECTIONS_PER_SOURCE} per"),
        format!("| duration of a TLS handshake (`--tls-timeout`) | {TLS_HANDSHAKE_TIMEOUT:?} |"),
        format!("| time from TLS to being authenticated (`--auth-timeout`) | {AUTH_TIMEOUT:?} |"),
    ] {
        assert!(plain(&page.text).contains(&plain(&row)), "docs/limits.md lacks {row}");
    }
}

#[test]
fn every_picture_is_shown_small_and_runs_no_script() {
    let pages = Page::all();
    let files = fs::read_dir(root().join("docs/pictures")).expect("the pictures").filter_map(Result::ok);
    let pictures: Vec<_> = files.filter(|file| file.path().extension().is_some_and(|end| end == "svg")).collect();
    assert!(pictures.len() >= 4, "{pictures:?}");
    for picture in pictures {
        let name = format!("pictures/{}", picture.file_name().display());
        assert!(pages.iter().any(|page| page.links().iter().any(|link| link.ends_with(&name))), "no page shows {name}");
        let text = fs::read_to_string(picture.path()).expect("an SVG");
        assert!(text.len() as u64 <= PICTURE_BYTES, "{name} has {} bytes", text.len());
        // Code hosts strip them, and the names of the machine that recorded it are nobody's business.
        for refused in ["<script", "javascript:", "<foreignObject", "/root", "/tmp", "/work"] {
            assert!(!text.contains(refused), "{name} contains {refused}");
        }
    }
}

//! Who may know whom, `main → cli → {hub, agent, proxy} → net → proto`, what one kind of system alone has, and how large a file
//! may grow.

#[path = "layering/circles.rs"]
mod circles;
#[path = "layering/words.rs"]
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Longer files are read by nobody.
const LINES: usize = 400;
/// What the standard library, tokio and others have on Unix alone.
const UNIX_ONLY: [&str; 6] = ["os::unix", "os::fd", "signal::unix", "net::Unix", "net::{Unix", "rustix::"];
/// What says so; strings are blanked here.
const UNIX: [&str; 5] =
    ["#[cfg(unix)]", "#[cfg(all(unix,", "#[cfg(all(test, unix))]", "#[cfg(target_os = ", "#[cfg(all(target_os = "];
/// A module that is Unix's own, and tests, which run there.
const UNIX_FILES: [&str; 2] = ["net/os/local_socket/unix.rs", "hub/activity/tests/full_disk.rs"];
const MARKERS: [&str; 2] = ["sleep(", "#[ignore"];

#[test]
fn every_source_file_keeps_to_its_layer() {
    let found = complaints("src", |path, text| [imports(path, text), names(path, text), size(path, text)].concat());
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn what_only_unix_has_is_left_out_elsewhere() {
    let found = complaints("src", |path, text| if UNIX_FILES.contains(&path) { Vec::new() } else { unix(path, text) });
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_rule_about_unix_sees_what_it_forbids_and_nothing_else() {
    for code in [
        "use tokio::net::UnixStream;",
        "#[cfg(unix)]\nuse a::b;\nuse std::os::unix::fs::MetadataExt as _;",
        "#[cfg(not(unix))]\nfn a() {\n    rustix::stdio::dup2_stdout(null)?\n}",
        "#[cfg(unix)]\nfn a() {\n    b();\n}\nfn c() {\n    std::os::fd::d();\n}",
        "struct A(\n    #[cfg(not(unix))] tokio::signal::unix::Signal);",
    ] {
        assert_eq!(unix("net/x.rs", code).len(), 1, "{code}");
    }
    for code in [
        "#[cfg(unix)]\nuse tokio::net::{UnixListener, UnixStream};",
        "#[cfg(target_os = \"linux\")]\nfn a(\n    b: C,\n) {\n    if b {\n        rustix::process::geteuid();\n    }\n}",
        "fn a() {\n    #[cfg(unix)]\n    {\n        use std::os::unix::fs::MetadataExt as _;\n    }\n}",
        "struct A(#[cfg(unix)] tokio::signal::unix::Signal);",
        "fn a() {\n    #[cfg(unix)]\n    std::os::unix::fs::b(\n        &mut c,\n    );\n    d();\n}",
        "b();\n#[cfg(test)]\nmod tests { use std::os::unix::fs::symlink; }",
    ] {
        assert_eq!(unix("net/x.rs", &code_of(code)), [""; 0], "{code}");
    }
}

#[test]
fn unsafe_code_is_one_declaration_of_a_function_that_is_safe() {
    let found = complaints("src", |path, text| {
        let hits = text.lines().enumerate().filter(|(_, line)| line.contains("unsafe"));
        hits.map(|(index, line)| format!("{path}:{}: {}", index + 1, line.trim())).collect()
    });
    let lines: Vec<_> = found.iter().filter_map(|line| line.split_once(": ")).map(|(_, code)| code).collect();
    assert!(found.iter().all(|line| line.starts_with("net/os/allocator.rs:")), "{found:?}");
    assert_eq!(lines.len(), 2, "{found:?}");
    assert!(lines[0].starts_with("#[expect(unsafe_code") && lines[1] == "unsafe extern  {", "{found:?}");
}

#[test]
fn no_test_sleeps_or_is_ignored() {
    let found = complaints("tests", |path, text| {
        let hits = numbered(text).filter(|(_, line)| MARKERS.iter().any(|marker| line.contains(marker)));
        hits.map(|(number, _)| format!("tests/{path}:{number}: tests wait for the thing itself, and all run")).collect()
    });
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_rules_see_what_they_forbid_and_nothing_else() {
    for (path, code) in [
        ("proto/id.rs", "use crate::net::os::clock;"),
        ("proto/id.rs", "let now = Instant::now();"),
        ("hub/broker.rs", "use super::registry::Registry;"),
        ("hub/broker/timers.rs", "use super::super::registry::Registry;"),
        ("hub/auth.rs", "let x = aws_lc_rs::rand::fill(y);"),
        ("net/pump.rs", "use async_nats::Client;"),
        ("hub/cluster/bucket.rs", "use async_nats::jetstream::Context;"),
        ("hub/registry/mirrored/mod.rs", "fn a(client: async_nats::Client) {}"),
        ("net/pump.rs", "use crate::{hub, proto};"),
        ("net/pump.rs", "use crate::hub::Hub;"),
        ("hub/mod.rs", "use crate::agent::Agent;"),
        ("agent/mod.rs", "use tokio_rustls::TlsConnector;"),
        ("cli/hub.rs", "let x = TcpListener::bind(y);"),
        ("main.rs", "devstream::hub::run()"),
        ("net/relay.rs", "mod leg;\n#[cfg(test)]\nmod tests;\nuse crate::hub::Hub;"),
        ("net/relay.rs", "x();\n#[cfg(test)]\nuse a::b;\nuse crate::hub::Hub;"),
    ] {
        assert_eq!([imports(path, code), names(path, code)].concat().len(), 1, "{path}: {code}");
    }
    for (path, code) in [
        ("proto/id.rs", "// as tokio::spawn does\nlet c = ('\"', \"crate::hub::x\", 'a', &'a b);"),
        ("proto/id.rs", "use super::limits::X;"),
        ("hub/broker/timers.rs", "use super::super::auth::Scope;"),
        ("hub/control.rs", "use super::broker::Input; use crate::net::tls; use crate::hub::auth;"),
        ("hub/cluster/nats/bucket.rs", "use async_nats::jetstream::Context;"),
        ("cli/demo.rs", "use tokio::net::TcpListener; use crate::hub::Hub;"),
        ("proto/id.rs", "x();\n#[cfg(test)]\nmod tests { use tokio::x; }"),
    ] {
        let code = code_of(code);
        assert_eq!([imports(path, &code), names(path, &code)].concat(), [""; 0], "{path}: {code}");
    }
}

/// What a file may import from this package, as the beginnings of module paths.
fn allowed(path: &str) -> &'static [&'static str] {
    match path.split('/').next() {
        _ if is_pure(path) => &[
            "proto",
            "hub::broker",
            "hub::auth",
            "hub::event",
            "hub::admission::penalty",
            "hub::cluster::view",
            "hub::registry::portable",
        ],
        Some("net") => &["proto", "net"],
        Some("hub") => &["proto", "net", "hub"],
        Some("agent") => &["proto", "net", "agent"],
        Some("proxy") => &["proto", "net", "proxy"],
        Some("main.rs") => &["cli"],
        _ => &[""],
    }
}

/// What a file may not name: a crate or module by itself or as a part (`tokio` is also `tokio_util`), or a text.
fn forbidden(path: &str) -> &'static [&'static str] {
    match path.split('/').next() {
        _ if is_pure(path) => &["tokio", "rustls", "tungstenite", "clap", "rand", "random", "::now(", "async_nats"],
        Some("net") => &["clap", "toml", "dirs", "indicatif", "async_nats"],
        // The hub's certificates (its private authority, ACME orders, the choice by SNI) are rustls types, and no other role has
        // any of them: they need not be in net, but rustls stays out of the rest of the hub.
        Some("hub") if path.starts_with("hub/certificate/") => {
            &["clap", "toml", "dirs", "indicatif", "tungstenite", "hyper", "async_nats"]
        }
        // Another engine would be another folder.
        Some("hub") if path.starts_with("hub/cluster/nats/") => {
            &["clap", "toml", "dirs", "indicatif", "tungstenite", "rustls", "hyper"]
        }
        Some("hub" | "agent" | "proxy") => {
            &["clap", "toml", "dirs", "indicatif", "tungstenite", "rustls", "hyper", "async_nats"]
        }
        Some("cli") if path.starts_with("cli/demo") => &["tungstenite", "rustls", "hyper", "UdpSocket", "async_nats"],
        Some("cli") => &["tungstenite", "rustls", "hyper", "TcpStream", "TcpListener", "UdpSocket", "async_nats"],
        _ => &[],
    }
}

/// Rules that no socket, clock or dice can reach.
fn is_pure(path: &str) -> bool {
    path.starts_with("proto/")
        || path.starts_with("hub/broker/")
        || path.starts_with("hub/event/")
        || path.starts_with("hub/cluster/view/")
        || path.starts_with("hub/registry/portable/")
        || [
            "hub/broker.rs",
            "hub/auth.rs",
            "hub/event.rs",
            "hub/admission/penalty.rs",
            "hub/cluster/messages.rs",
            "hub/own_urls.rs",
            "hub/registry/portable.rs",
        ]
        .contains(&path)
}

fn imports(path: &str, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in numbered(code) {
        for target in targets(path, line) {
            let fits = allowed(path).iter().any(|prefix| target.starts_with(prefix));
            if !fits || target.starts_with('{') {
                found.push(format!("src/{path}:{number}: may import {:?}, not '{target}'", allowed(path)));
            }
        }
    }
    found
}

/// The module paths of this package that a line names, from the package's root.
fn targets(path: &str, line: &str) -> Vec<String> {
    let root = if path == "main.rs" { "devstream::" } else { "crate::" };
    let absolute = line.match_indices(root).map(|(at, _)| module(&line[at + root.len()..]));
    let mut found: Vec<_> = absolute.collect();
    let mut rest = line;
    while let Some(at) = rest.find("super::") {
        let mut here: Vec<_> = path.trim_end_matches(".rs").trim_end_matches("/mod").split('/').collect();
        rest = &rest[at..];
        while let Some(further) = rest.strip_prefix("super::") {
            here.pop();
            rest = further;
        }
        found.push([here.join("::"), module(rest)].join("::"));
    }
    found
}

/// The module path that a text begins with; `{` where several are imported at once, which hides them.
fn module(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '{')).collect()
}

fn names(path: &str, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in numbered(code) {
        let hits = forbidden(path).iter().filter(|word| is_named(line, word));
        found.extend(hits.map(|word| format!("src/{path}:{number}: may not name '{word}' here")));
    }
    found
}

fn is_named(line: &str, word: &str) -> bool {
    if word.contains(':') {
        return line.contains(word);
    }
    let is_type = word.starts_with(char::is_uppercase);
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after: String = line[at + word.len()..].chars().skip_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let begins = !before.is_some_and(char::is_alphanumeric);
        begins && (is_type || after.starts_with("::") || line.trim_start().starts_with("use "))
    })
}

/// What stands outside of every item, statement and field that is `#[cfg(unix)]` or for one system that is one. An item ends
/// where its indentation comes back, as rustfmt writes it.
fn unix(path: &str, code: &str) -> Vec<String> {
    let (mut found, mut item) = (Vec::new(), None);
    for (number, line) in numbered(code) {
        let indentation = line.len() - line.trim_start().len();
        if indentation < item.unwrap_or(0) && !line.is_empty() {
            item = None;
        }
        if UNIX.iter().any(|attribute| line.contains(attribute)) {
            item = Some(indentation);
        } else if item.is_none() && UNIX_ONLY.iter().any(|name| line.contains(name)) {
            found.push(format!("src/{path}:{number}: only Unix has this, so it belongs under #[cfg(unix)]"));
        }
        let ends = line.ends_with([';', '}', ',']);
        item = item.filter(|outer| !(ends && indentation == *outer));
    }
    found
}

fn size(path: &str, code: &str) -> Vec<String> {
    let lines = numbered(code).count();
    if lines > LINES {
        vec![format!("src/{path}:{LINES}: {lines} lines without tests, over {LINES}")]
    } else {
        Vec::new()
    }
}

/// The lines before a file's unit tests, numbered. Tests in a file of their own end nothing here.
fn numbered(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let marks = code.match_indices("\n#[cfg(test)]\n");
    let is_inline = |rest: &str| {
        let item = rest.lines().skip(2).find(|line| !line.starts_with("#["));
        item.is_some_and(|line| line.starts_with("mod ") && line.contains('{'))
    };
    let end = marks.map(|(at, _)| at).find(|at| is_inline(&code[*at..])).unwrap_or(code.len());
    code[..end].lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// Every file of a folder through a check, with comments and strings blanked.
fn complaints(folder: &str, check: impl Fn(&str, &str) -> Vec<String>) -> Vec<String> {
    files_of(folder).iter().flat_map(|(path, text)| check(path, text)).collect()
}

/// The files of a folder by their paths in it, with comments and strings blanked.
fn files_of(folder: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(!files.is_empty(), "{folder} has no source files");
    let read = |file: PathBuf| {
        let path = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
        (path, code_of(&text))
    };
    let sources = files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    sources.map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// The text with comments and the insides of strings left out, line for line.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = comment_or_literal(rest);
        let (taken, shown) = if skipped == 0 { (next.len_utf8(), true) } else { (skipped, false) };
        let (piece, further) = rest.split_at(taken);
        code.extend(piece.chars().filter(|c| shown || *c == '\n'));
        rest = further;
    }
    code
}

/// How much of the beginning of a text is a comment, a string or a character; 0 if it begins with neither.
fn comment_or_literal(text: &str) -> usize {
    let through = |from: usize, end: &str| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    let hashes = text.strip_prefix('r').map_or(0, |rest| rest.len() - rest.trim_start_matches('#').len());
    if text.starts_with("//") {
        text.find('\n').unwrap_or(text.len())
    } else if text.starts_with("/*") {
        through(2, "*/")
    } else if text.strip_prefix('r').is_some_and(|rest| rest[hashes..].starts_with('"')) {
        through(hashes + 2, &format!("\"{}", "#".repeat(hashes)))
    } else if text.starts_with('"') || text.starts_with("'\\") {
        let quote = text.as_bytes()[0];
        let mut escaped = false;
        let end = text.bytes().skip(1).position(|byte| {
            let ends = byte == quote && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        end.map_or(text.len(), |at| at + 2)
    } else if text.starts_with('\'') && text.chars().nth(2) == Some('\'') {
        text.char_indices().nth(3).map_or(text.len(), |(at, _)| at)
    } else {
        0
    }
}

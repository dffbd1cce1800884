//! `tests/FAULTS.md` against the tests: every fault is there once, and every test it names exists and runs.

use std::fs;
use std::path::Path;

/// As many as the catalogue has.
const ROWS: usize = 67;
/// Begins the reason of a row without a test.
const REASON: &str = "Why none: ";
/// Stands where somebody's test is to be named.
const PLACEHOLDER: &str = "PLACEHOLDER";

#[test]
fn every_fault_has_a_test_or_a_reason() {
    let text = fs::read_to_string(root().join("tests/FAULTS.md")).expect("the catalogue");
    let found = complaints(&text, ROWS, &exists);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_check_sees_what_is_wrong_and_nothing_else() {
    let exists = |test: &str| test == "it/a.rs::b";
    let row = |number: usize, shown: &str| format!("| {number} | a fault | what happens | {shown} |\n");
    let good = row(1, "`it/a.rs::b`. More words") + &row(2, "Why none: it cannot happen");
    assert_eq!(complaints(&good, 2, &exists), [""; 0]);
    for bad in [
        row(1, "`it/a.rs::b`"),
        good.clone() + &row(2, "`it/a.rs::b`"),
        good + &row(3, "`it/a.rs::b`"),
        row(1, "`it/a.rs::b`") + &row(2, "to come"),
        row(1, "`it/a.rs::b`") + &row(2, "Why none: "),
        row(1, "`it/a.rs::b`") + &row(2, "`it/a.rs::c`"),
        row(1, "`it/a.rs::b`") + &row(2, "Why none: elsewhere, `it/a.rs::c`"),
        row(1, "`it/a.rs::b`") + &row(2, "`it/a.rs::b` PLACEHOLDER(somebody)"),
        row(1, "`it/a.rs::b`") + "| 2 | a fault | `it/a.rs::b` |\n",
    ] {
        assert_eq!(complaints(&bad, 2, &exists).len(), 1, "{bad}");
    }
    let code = "#[test]\n#[allow(x)]\nfn a() {}\n#[tokio::test(start_paused = true)]\nasync fn b() {}\nfn c() {}\n#[test]\n\nfn d_and_more() {}";
    assert_eq!(["a", "b", "c", "d"].map(|name| is_test(code, name)), [true, true, false, false]);
}

/// What is wrong with a catalogue of so many rows.
fn complaints(text: &str, rows: usize, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = vec![0; rows + 1];
    for line in text.lines() {
        let cells: Vec<_> = line.split(" | ").collect();
        let Ok(number) = cells[0].trim_start_matches("| ").parse::<usize>() else { continue };
        match seen.get_mut(number) {
            Some(seen) if number > 0 => *seen += 1,
            _ => found.push(format!("row {number} is not in the catalogue")),
        }
        match cells[..] {
            [_, _, _, shown] => found
                .extend(wrong_with(shown.trim_end_matches(" |"), exists).map(|what| format!("row {number}: {what}"))),
            _ => found.push(format!("row {number} has not four columns")),
        }
    }
    let counted = seen.iter().enumerate().skip(1).filter(|(_, count)| **count != 1);
    found.extend(counted.map(|(number, count)| format!("row {number} is there {count} times")));
    found
}

/// The first thing that is wrong with a row's last column.
fn wrong_with(shown: &str, exists: &dyn Fn(&str) -> bool) -> Option<String> {
    let mut tests = shown.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains("::")).peekable();
    let reason = shown.strip_prefix(REASON).is_some_and(|reason| !reason.trim().is_empty());
    if shown.contains(PLACEHOLDER) {
        return Some("a test is still to be named".to_owned());
    }
    if tests.peek().is_none() && !reason {
        return Some(format!("neither a test nor '{REASON}…'"));
    }
    tests.find(|test| !exists(test)).map(|test| format!("there is no test {test}"))
}

/// Whether a test of this name is in the file, which is under `tests` or `src`.
fn exists(test: &str) -> bool {
    let Some((file, name)) = test.split_once("::") else { return false };
    let path = if file.starts_with("src/") { root().join(file) } else { root().join("tests").join(file) };
    fs::read_to_string(path).is_ok_and(|code| is_test(&code, name))
}

fn is_test(code: &str, name: &str) -> bool {
    let lines: Vec<_> = code.lines().map(str::trim_start).collect();
    let starts = [format!("fn {name}("), format!("async fn {name}(")];
    let defined = lines.iter().position(|line| starts.iter().any(|start| line.starts_with(start)));
    defined.is_some_and(|at| {
        let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        attributes.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

//! `completions/` and `man/` equal what the command line generates. `DEVSTREAM_BLESS=1` writes them anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use devstream::cli::{SECTIONS, settings};

#[test]
fn completions_are_what_the_command_line_generates() {
    let directory = tempfile::tempdir().unwrap();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
        generate_to(shell, &mut devstream::cli::command(), "devstream", directory.path()).unwrap();
    }
    compare("completions", files(directory.path()));
}

#[test]
fn man_pages_are_what_the_command_line_generates() {
    let mut pages = BTreeMap::new();
    render(&devstream::cli::command(), "devstream", &mut pages);
    pages.insert(PathBuf::from("devstream.toml.5"), file_format(&devstream::cli::command()).into_bytes());
    compare("man", pages);
}

#[test]
fn the_file_formats_page_is_well_formed() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("devstream.toml.5");
    fs::write(&page, file_format(&devstream::cli::command())).unwrap();
    let lint = std::process::Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(page).output();
    let output = lint.expect("mandoc is installed: tests/run does it");
    let found = String::from_utf8(output.stdout).unwrap();
    // A page that is generated anew for every change has no date.
    let wrong: Vec<_> = found.lines().filter(|line| !line.contains("missing date")).collect();
    assert_eq!(wrong, [""; 0]);
}

/// A page for the command and each of its subcommands. The command must not have been built: clap would add its
/// `help` subcommands.
fn render(command: &Command, name: &str, pages: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let mut page = Vec::new();
    let titled = command.clone().name(name.to_owned()).display_name(name.to_owned()).version(env!("CARGO_PKG_VERSION"));
    Man::new(titled).title(name.to_uppercase()).render(&mut page).unwrap();
    pages.insert(PathBuf::from(format!("{name}.1")), page);
    for subcommand in command.get_subcommands() {
        render(subcommand, &format!("{name}-{}", subcommand.get_name()), pages);
    }
}

/// The page about the configuration file: its keys are the flags, in their words.
fn file_format(command: &Command) -> String {
    let mut page = Roff::new();
    page.control("TH", ["DEVSTREAM.TOML", "5"]);
    page.control("SH", ["NAME"]).text([roman("devstream.toml - the configuration file of devstream")]);
    page.control("SH", ["DESCRIPTION"]);
    for (index, paragraph) in include_str!("../src/cli/config/about.txt").split("\n\n").enumerate() {
        if index > 0 {
            page.control("PP", []);
        }
        page.text([roman(paragraph.trim().replace('\n', " "))]);
    }
    for section in SECTIONS {
        page.control("SH", [format!("[{section}]").as_str()]);
        settings(command, section).for_each(|flag| setting(&mut page, flag));
    }
    page.control("SH", ["EXAMPLE"]).control("nf", []);
    // A line of its own each, or the marks of other lines would be taken for requests.
    for line in include_str!("../src/cli/config/example.toml").lines() {
        page.text([roman(if line.is_empty() { " " } else { line })]);
    }
    page.control("fi", []);
    let roles = SECTIONS.map(|section| format!("devstream-{section}(1)")).join(", ");
    page.control("SH", ["SEE ALSO"]).text([roman(format!("{roles}, devstream-hub-check-config(1)"))]);
    page.render()
}

fn setting(page: &mut Roff, flag: &Arg) {
    let names = flag.get_value_names().unwrap_or_default().join(" ");
    let (is_switch, is_repeatable) =
        (matches!(flag.get_action(), ArgAction::SetTrue), matches!(flag.get_action(), ArgAction::Append));
    let form = if is_switch {
        "true or false".to_owned()
    } else if is_repeatable {
        format!("{names}, or an array of them")
    } else {
        names
    };
    page.control("TP", []).text([bold(flag.get_long().unwrap()), roman(" = "), italic(form)]);
    let help = flag.get_long_help().or(flag.get_help()).unwrap().to_string();
    for (index, paragraph) in help.split("\n\n").enumerate() {
        if index > 0 {
            page.control("IP", []);
        }
        page.text([roman(paragraph)]);
    }
    let defaults: Vec<_> = flag.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && !is_switch {
        page.control("IP", []).text([roman(format!("Default: {}", defaults.join(", ")))]);
    }
    if let Some(name) = flag.get_env() {
        page.control("IP", []).text([roman(format!("Environment: {}", name.to_string_lossy()))]);
    }
}

fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (PathBuf::from(path.file_name().unwrap()), fs::read(path).unwrap())).collect()
}

fn compare(folder: &str, expected: BTreeMap<PathBuf, Vec<u8>>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    if std::env::var_os("DEVSTREAM_BLESS").is_some() {
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        for (name, content) in &expected {
            fs::write(folder.join(name), content).unwrap();
        }
    }
    let found = files(&folder);
    for name in expected.keys().chain(found.keys()) {
        let same = expected.get(name) == found.get(name);
        let file = folder.join(name);
        let file = file.display();
        assert!(same, "{file} is not what is generated; run: DEVSTREAM_BLESS=1 cargo test --test generated");
    }
}

//! `completions/` and `man/` equal what the command line generates. `DEVSTREAM_BLESS=1` writes them anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;

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
    compare("man", pages);
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

//! `completions/`, `man/` and `deb/units/` equal what the command line generates. `DEVSTREAM_BLESS=1` writes them anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use clap_complete::engine::complete;
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use devstream::cli::{SECTIONS, settings};

#[test]
fn completions_are_what_the_command_line_generates() {
    compare("completions", scripts());
}

fn scripts() -> BTreeMap<PathBuf, Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
        generate_to(shell, &mut devstream::cli::command(), "devstream", directory.path()).unwrap();
    }
    files(directory.path())
}

#[test]
fn the_packages_units_are_what_service_install_writes() {
    compare("deb/units", units());
}

/// Roles that cannot run without being told what to do read it from the file, as the package's units do.
const CONFIGURED: &str = "[device-agent]\nforward = 22\n[service-proxy]\ndevice = \"pi-42\"\nlocal = 2222\n";

fn units() -> BTreeMap<PathBuf, Vec<u8>> {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("etc/devstream")).unwrap();
    fs::write(root.path().join("etc/devstream/config.toml"), CONFIGURED).unwrap();
    let printed = SECTIONS.map(|role| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_devstream"));
        command.args(["service", "install", role, "--print", "--program", "/usr/bin/devstream", "--root"]);
        // As root, whose identity it is that services have.
        let output = command.arg(root.path()).env_clear().env("HOME", "/root").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    });
    let unit = |text: &str| {
        let (name, text) = text.split_once('\n').unwrap();
        (PathBuf::from(name), text.as_bytes().to_owned())
    };
    printed.iter().flat_map(|text| text.split("# /etc/systemd/system/").skip(1)).map(unit).collect()
}

#[test]
fn man_pages_are_what_the_command_line_generates() {
    compare("man", pages());
}

#[test]
fn man_pages_are_well_formed() {
    let directory = tempfile::tempdir().unwrap();
    for (name, page) in pages() {
        fs::write(directory.path().join(name), page).unwrap();
    }
    let pages = files(directory.path()).into_keys();
    let mut lint = std::process::Command::new("mandoc");
    let lint = lint.args(["-T", "lint", "-W", "warning"]).args(pages).current_dir(directory.path()).output();
    let output = lint.expect("mandoc is installed: tests/run does it");
    let found = String::from_utf8(output.stdout).unwrap();
    // A page that is generated anew for every change has no date.
    let wrong: Vec<_> = found.lines().filter(|line| !line.contains("missing date")).collect();
    assert_eq!(wrong, [""; 0]);
}

/// `devstream hub device`
const FISH_NAMES: usize = 3;

#[test]
fn every_flag_is_in_help_man_and_completions() {
    let (plain, mut built) = (devstream::cli::command(), devstream::cli::command());
    built.build();
    let (pages, scripts) = (pages(), scripts());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_owned()).unwrap();
    let mut flags = 0;
    for (command, names) in all(&plain) {
        let help = names.iter().skip(1).fold(&mut built, |command, name| command.find_subcommand_mut(name).unwrap());
        let help = help.render_long_help().to_string();
        let page = text(&pages[Path::new(&format!("{}.1", names.join("-")))]).replace("\\-", "-");
        let words: Vec<_> = names.iter().map(String::as_str).chain(["--"]).map(Into::into).collect();
        let offered = complete(&mut plain.clone(), words, names.len(), None).unwrap();
        for flag in command.get_arguments().filter_map(Arg::get_long) {
            let long = format!("--{flag}");
            assert!(help.contains(&long), "{long} is not in the help of {names:?}");
            assert!(page.contains(&long), "{long} is not in {}.1", names.join("-"));
            let live = offered.iter().any(|candidate| candidate.get_value().to_str() == Some(&long));
            assert!(live, "{long} is not offered after {names:?}");
            for (file, script) in &scripts {
                let is_fish = file.ends_with("devstream.fish");
                // clap's generator goes no deeper there; a fish that asks devstream itself is told all.
                if is_fish && names.len() > FISH_NAMES {
                    continue;
                }
                let written = if is_fish { format!("-l {flag}") } else { long.clone() };
                assert!(text(script).contains(&written), "{long} is not in {}", file.display());
            }
            flags += 1;
        }
    }
    assert!(flags > 50, "the flags are no longer found: {flags}");
}

#[test]
fn every_command_has_examples_that_it_takes() {
    let root = devstream::cli::command();
    for (command, names) in all(&root) {
        let examples = devstream::cli::examples(&root, &names[1..]);
        assert!(!examples.is_empty(), "{names:?} has no example: src/cli/examples.rs");
        let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        for (typed, _) in examples {
            assert!(help.contains(typed), "{typed}: {help}");
            let words = typed.split(' ').map(|word| word.trim_matches('\''));
            if let Err(error) = root.clone().try_get_matches_from(words) {
                panic!("`{typed}` fails:\n{error}");
            }
        }
    }
}

/// The command and all below it, with their names.
fn all(root: &Command) -> Vec<(&Command, Vec<String>)> {
    let mut found = vec![(root, vec![root.get_name().to_owned()])];
    let mut next = 0;
    while let Some((command, names)) = found.get(next).cloned() {
        let below = command.get_subcommands();
        found.extend(below.map(|below| (below, [names.as_slice(), &[below.get_name().to_owned()]].concat())));
        next += 1;
    }
    found
}

/// A page for the command and each of its subcommands, and for the file. The command must not have been built: clap would
/// add its `help` subcommands.
fn pages() -> BTreeMap<PathBuf, Vec<u8>> {
    let root = devstream::cli::command();
    let pages = all(&root).into_iter().map(|(command, names)| {
        (PathBuf::from(format!("{}.1", names.join("-"))), page(&root, command, &names).into_bytes())
    });
    let file = (PathBuf::from("devstream.toml.5"), file_format(&root).into_bytes());
    pages.chain([file]).collect()
}

fn page(root: &Command, command: &Command, names: &[String]) -> String {
    let (name, version) = (names.join("-"), env!("CARGO_PKG_VERSION"));
    let named =
        command.clone().name(name.clone()).display_name(name.clone()).bin_name(names.join(" ")).version(version);
    // They have a section of their own, in which lines stay what they are.
    let named = named.after_long_help(None::<&str>);
    let mut page = Vec::new();
    Man::new(named).render(&mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    let (start, rest) = page.split_once(".TH ").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    let (body, end) = rest.split_once(".SH VERSION\n").unwrap();
    // An empty line is a paragraph already.
    let body = body.replace(".br\n\n.br\n", "\n").replace("\n\n", "\n.sp\n");
    let title = format!(".TH {} 1 \"\" \"devstream {version}\"\n", name.to_uppercase());
    let (epilogue, further) = (epilogue(command), further(root, names));
    format!("{start}{title}{body}{epilogue}{further}.SH VERSION\n{end}")
}

/// What the help says after the examples: a section for each paragraph, called what comes before its first comma.
fn epilogue(command: &Command) -> String {
    let mut page = Roff::new();
    let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    for paragraph in help.split("\n\n").skip(1) {
        let (about, lines) = paragraph.split_once('\n').unwrap();
        let (title, remark) = about.split_once(", ").unwrap();
        page.control("SH", [title.to_uppercase().as_str()]).text([roman(remark.trim())]).control("PP", []);
        page.control("nf", []);
        for line in lines.lines() {
            page.text([roman(line)]);
        }
        page.control("fi", []);
    }
    page.to_roff()
}

/// Examples, and the pages that belong to this one.
fn further(root: &Command, names: &[String]) -> String {
    let mut page = Roff::new();
    page.control("SH", ["EXAMPLES"]);
    for (typed, meaning) in devstream::cli::examples(root, &names[1..]) {
        page.control("TP", []).text([bold(typed)]).text([roman(meaning)]);
    }
    let above = (1..names.len()).map(|length| format!("{}(1)", names[..length].join("-")));
    let others = above.chain(["devstream.toml(5)".to_owned()]).collect::<Vec<_>>().join(", ");
    page.control("SH", ["SEE ALSO"]).text([roman(others)]);
    page.to_roff()
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
    page.control("SH", ["EXAMPLES"]).control("nf", []);
    // A line of its own each, or the marks of other lines would be taken for requests.
    for line in include_str!("../src/cli/config/example.toml").lines() {
        page.text([roman(if line.is_empty() { " " } else { line })]);
    }
    page.control("fi", []);
    let roles = SECTIONS.map(|section| format!("devstream-{section}(1)")).join(", ");
    page.control("SH", ["SEE ALSO"])
        .text([roman(format!("{roles}, devstream-hub-check-config(1), devstream-config(1)"))]);
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

//! What the tests of README.md and docs/ share: a page, and what it says that can be checked.

use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;

/// Folders at the top of the repository, whose files the pages name.
const FOLDERS: [&str; 9] = ["src/", "tests/", "docs/", "examples/", "fuzz/", "man/", "completions/", "deb/", ".ci/"];

/// A page of the documentation.
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn read(name: &str) -> Self {
        let text = fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name: name.to_owned(), text }
    }

    /// README.md and every page of docs/.
    pub(crate) fn all() -> Vec<Self> {
        let files = fs::read_dir(root().join("docs")).unwrap_or_else(|error| panic!("docs: {error}"));
        let names = files
            .filter_map(Result::ok)
            .filter_map(|file| file.file_name().into_string().ok())
            .filter(|name| name.ends_with(".md"));
        let mut names: Vec<String> = names.map(|name| format!("docs/{name}")).collect();
        names.sort();
        ["README.md".to_owned()].into_iter().chain(names).map(|name| Self::read(&name)).collect()
    }

    /// The indented lines that run devstream, without comments.
    pub(crate) fn commands(&self) -> Vec<&str> {
        let indented = self.text.lines().filter_map(|line| line.strip_prefix("    "));
        let commands = indented.filter_map(|line| line.split(" #").next()).map(str::trim);
        commands.filter(|line| line.starts_with("devstream ")).collect()
    }

    /// What stands between backticks.
    pub(crate) fn spans(&self) -> Vec<String> {
        let prose: Vec<&str> = self.text.lines().filter(|line| !line.starts_with("    ")).collect();
        prose.join(" ").split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// Panics at a command that the program does not take.
    pub(crate) fn check_commands(&self) {
        for command in self.commands() {
            if let Err(error) = devstream::cli::command().try_get_matches_from(words(command)) {
                panic!("{} says `{command}`, which fails:\n{error}", self.name);
            }
        }
        for span in self.spans() {
            if span.starts_with("devstream ") && !span.contains(['<', '|', '…', '$']) {
                self.check_span(&span);
            }
            if span.starts_with("--") {
                self.check_flag(span.split([' ', '=']).next().unwrap_or_default());
            }
        }
    }

    /// A span may name a command without its arguments, or with placeholders for their values.
    fn check_span(&self, span: &str) {
        let Err(error) = devstream::cli::command().try_get_matches_from(words(span)) else { return };
        let incomplete = [
            ErrorKind::DisplayHelp,
            ErrorKind::DisplayVersion,
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
            ErrorKind::MissingSubcommand,
            ErrorKind::MissingRequiredArgument,
        ];
        let placeholder = error.kind() == ErrorKind::ValueValidation && span.contains(" N");
        assert!(
            incomplete.contains(&error.kind()) || placeholder,
            "{} says `{span}`, which fails:\n{error}",
            self.name
        );
    }

    fn check_flag(&self, flag: &str) {
        let (name, whole) = flag.strip_suffix('…').map_or((flag, true), |start| (start, false));
        let known = flags(&devstream::cli::command());
        let found = known.iter().any(|known| if whole { known == name } else { known.starts_with(name) });
        assert!(found, "{} names {flag}, which no command has", self.name);
    }

    /// Panics at a link or a path that leads nowhere.
    pub(crate) fn check_paths(&self) {
        let folder = Path::new(&self.name).parent().unwrap_or(Path::new(""));
        for target in self.links() {
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let path = if path.is_empty() { PathBuf::from(&self.name) } else { folder.join(path) };
            assert!(root().join(&path).exists(), "{} links {target}, which is not there", self.name);
            let anchors =
                || fs::read_to_string(root().join(&path)).unwrap_or_default().lines().any(|line| slug(line) == anchor);
            assert!(anchor.is_empty() || anchors(), "{} links {target}, which has no such heading", self.name);
        }
        for span in self.spans() {
            let path = span.split(' ').next().unwrap_or_default();
            let named = FOLDERS.iter().any(|folder| path.starts_with(folder));
            assert!(!named || root().join(path).exists(), "{} names {path}, which is not there", self.name);
        }
    }

    /// The targets of links and pictures within the repository.
    pub(crate) fn links(&self) -> Vec<String> {
        let targets = self.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Without what is for people only.
pub(crate) fn plain(text: &str) -> String {
    text.replace([',', ' '], "")
}

/// The long flags of a command and of those below it.
fn flags(command: &clap::Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(clap::Arg::get_long).map(|name| format!("--{name}"));
    let below = command.get_subcommands().flat_map(flags);
    own.chain(below).chain(["--help".to_owned(), "--version".to_owned()]).collect()
}

/// The anchor of a heading, as code hosts make it.
fn slug(line: &str) -> String {
    let Some(heading) = line.strip_prefix('#') else { return String::new() };
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
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

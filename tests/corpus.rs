//! The fuzz targets' properties, checked on every kept input: those that reach most of the code, and each that ever
//! violated a property, named after it. `tests/fuzz` searches for more.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/src/lib.rs"]
mod properties;

use properties::TARGETS;

/// Limits of the corpus, which is read and copied with the code.
const FILES: usize = 600;
const BYTES: usize = 256 * 1024;

#[test]
fn every_kept_input_satisfies_its_targets_properties() {
    let (mut files, mut bytes) = (0, 0);
    for (name, check) in TARGETS {
        let corpus = list(&root().join("corpus").join(name));
        assert!(!corpus.is_empty(), "{name} has no corpus");
        for file in corpus {
            let input = fs::read(&file).unwrap();
            let shown = file.display().to_string();
            let done = std::panic::catch_unwind(|| check(&input));
            assert!(done.is_ok(), "{shown} violates a property of {name}; the panic is printed above");
            files += 1;
            bytes += input.len();
        }
    }
    assert!(files <= FILES && bytes <= BYTES, "{files} files with {bytes} bytes; see tests/fuzz");
}

#[test]
fn every_target_is_built_and_checked() {
    let mut targets = TARGETS.map(|(name, _)| name.to_owned());
    targets.sort_unstable();
    let files = list(&root().join("fuzz_targets"));
    let names: Vec<_> = files.iter().map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(names, targets);
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let programs = manifest["bin"].as_array().unwrap().iter();
    let mut programs: Vec<_> = programs.map(|program| program["name"].as_str().unwrap().to_owned()).collect();
    programs.sort_unstable();
    assert_eq!(programs, targets);
    for (name, file) in names.iter().zip(files) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(&format!("devstream_fuzz::{name}::check(data)")), "{name} checks something else");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Lists a folder in the same order everywhere.
fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort_unstable();
    files
}

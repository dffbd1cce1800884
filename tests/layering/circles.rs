//! Modules that import each other in a circle cannot be read, moved or tested one without the other: none inside a folder may.

use std::collections::{BTreeMap, BTreeSet};

use super::{files_of, numbered};

/// A module's path below the crate's root: `["hub", "broker"]`.
type Path = Vec<String>;

#[test]
fn no_modules_of_a_folder_import_each_other_in_a_circle() {
    let circles = circles(&files_of("src"));
    assert!(circles.is_empty(), "modules that import each other:\n{}", circles.join("\n"));
}

#[test]
fn the_circle_check_sees_circles_and_nothing_else() {
    let found = |files: &[(&str, &str)]| circles(&files.iter().map(|(p, t)| (p.to_string(), t.to_string())).collect());
    let pair = found(&[("hub/a.rs", "use super::b::B;"), ("hub/b.rs", "fn f() { super::a::g() }")]);
    assert_eq!(pair, ["src/hub: a -> b -> a"]);
    let deep =
        found(&[("hub/a/mod.rs", ""), ("hub/a/c.rs", "use crate::hub::b;"), ("hub/b.rs", "use super::{a::c::C};")]);
    assert_eq!(deep, ["src/hub: a -> b -> a"], "a folder stands for what is in it");
    let three =
        [("a.rs", "use crate::{b::B, std};"), ("b.rs", "use crate::c::{\n    C,\n};"), ("c.rs", "use crate::a::A;")];
    assert_eq!(found(&three), ["src: a -> b -> c -> a"]);
    let hidden = [
        ("hub/mod.rs", "mod b;\npub(super) use self::b::B;"),
        ("hub/a.rs", "use super::B;"),
        ("hub/b.rs", "use super::a;"),
    ];
    assert_eq!(found(&hidden), ["src/hub: a -> b -> a"], "through a re-export");
    let tree = [("hub/mod.rs", "use self::a::A;"), ("hub/a.rs", "use super::b::B;"), ("hub/b.rs", "use super::X;")];
    assert_eq!(found(&tree), [""; 0], "a folder's own module declares the others, and may be used by them");
    let tests = [
        ("a.rs", "use crate::b;"),
        ("b.rs", "x();\n#[cfg(test)]\nmod tests { use crate::a; }"),
        ("b/tests.rs", "use crate::a;"),
    ];
    assert_eq!(found(&tests), [""; 0], "tests may use what they like");
}

/// One line for each circle, which names the folder and the modules in it.
fn circles(files: &BTreeMap<String, String>) -> Vec<String> {
    let sources: BTreeMap<Path, &str> = files
        .iter()
        .filter(|(path, _)| !path.ends_with("tests.rs") && !path.contains("tests/"))
        .map(|(path, text)| (module_of(path), text.as_str()))
        .collect();
    let imports: BTreeMap<&Path, Vec<Path>> =
        sources.iter().map(|(module, text)| (module, imports(module, text))).collect();
    // Folder -> module of it -> modules of it that it imports.
    let mut folders: BTreeMap<Path, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (module, paths) in &imports {
        for path in paths {
            let target = definer(path, &imports, 0);
            let common = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (module.get(common), target.get(common)) {
                let folder = folders.entry(module[..common].to_vec()).or_default();
                folder.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    let found = folders.iter().flat_map(|(folder, edges)| {
        let name = [&["src".to_owned()], folder.as_slice()].concat().join("/");
        circles_in(edges).into_iter().map(move |circle| format!("{name}: {circle}"))
    });
    found.collect()
}

/// The shortest circle through each module that is in one, each circle once, from its first module in the alphabet.
fn circles_in(edges: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for start in edges.keys() {
        let mut paths = vec![vec![start.clone()]];
        let mut seen = BTreeSet::new();
        let mut circle = None;
        while let (None, false) = (&circle, paths.is_empty()) {
            let mut longer = Vec::new();
            for path in paths {
                for next in path.last().and_then(|last| edges.get(last)).into_iter().flatten() {
                    if next == start {
                        circle.get_or_insert_with(|| path.clone());
                    } else if seen.insert(next.clone()) {
                        longer.push([path.as_slice(), std::slice::from_ref(next)].concat());
                    }
                }
            }
            paths = longer;
        }
        if let Some(mut circle) = circle {
            let first = (0..circle.len()).min_by_key(|at| &circle[*at]).unwrap_or(0);
            circle.rotate_left(first);
            circle.push(circle[0].clone());
            found.insert(circle.join(" -> "));
        }
    }
    found
}

fn module_of(file: &str) -> Path {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').filter(|part| !["lib", "main"].contains(part)).map(str::to_owned).collect()
}

/// The module that defines what a path names: re-exports are followed.
fn definer(path: &Path, imports: &BTreeMap<&Path, Vec<Path>>, depth: usize) -> Path {
    let depth_of_module = (0..=path.len()).rev().find(|length| imports.contains_key(&path[..*length].to_vec()));
    let module = path[..depth_of_module.unwrap_or(0)].to_vec();
    let Some(item) = path.get(module.len()) else { return module };
    let passed_on = imports.get(&module).into_iter().flatten();
    let source = passed_on.filter(|source| **source != *path).find(|source| source.last() == Some(item));
    match source {
        Some(source) if depth < 8 => definer(source, imports, depth + 1),
        _ => module,
    }
}

/// What a module names of this package, as paths from the crate's root.
fn imports(module: &Path, text: &str) -> Vec<Path> {
    let code: String = numbered(text).flat_map(|(_, line)| [line, "\n"]).collect();
    let mut found = Vec::new();
    let mut rest = code.as_str();
    while let Some(at) = ["crate::", "super::", "self::"].iter().filter_map(|root| rest.find(root)).min() {
        let is_whole = !rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        rest = &rest[at..];
        let length = tree_length(rest);
        if is_whole {
            found.extend(expand(&rest[..length]).iter().map(|path| absolute(module, path)));
        }
        rest = &rest[length.max("self::".len())..];
    }
    found
}

/// How much of a text a path is, with what stands in its braces.
fn tree_length(text: &str) -> usize {
    let mut open = 0_usize;
    let end = text.find(|c: char| {
        match c {
            '{' => open += 1,
            '}' if open > 0 => {
                open -= 1;
                // What follows a use tree's last brace is no part of it.
                return open == 0;
            }
            _ => return open == 0 && !(c.is_alphanumeric() || c == '_' || c == ':'),
        }
        false
    });
    end.unwrap_or(text.len())
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn expand(tree: &str) -> Vec<String> {
    let Some((before, inside)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let mut found = Vec::new();
    let (mut open, mut start) = (0_usize, 0);
    for (at, c) in inside.char_indices().chain([(inside.len(), ',')]) {
        match c {
            '{' => open += 1,
            '}' => open = open.saturating_sub(1),
            ',' if open == 0 => {
                let part = inside[start..at].trim().trim_end_matches('}').trim();
                let branch = &inside[start..at];
                let branch = if branch.contains('{') { branch.trim() } else { part };
                found.extend(
                    expand(branch)
                        .iter()
                        .filter(|part| !part.is_empty())
                        .map(|part| format!("{}{part}", before.trim())),
                );
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

fn absolute(module: &Path, path: &str) -> Path {
    let path = path.split(" as ").next().unwrap_or(path);
    let mut here = module.clone();
    for part in path.split("::").map(str::trim).filter(|part| !part.is_empty()) {
        match part {
            "crate" => here.clear(),
            "self" => {}
            "super" => drop(here.pop()),
            _ => here.push(part.to_owned()),
        }
    }
    here
}

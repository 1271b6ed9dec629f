//! The house rules, checked: floors, lengths, module docs, banned words.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms below it that it may import.
const FLOORS: &[(&str, &[&str])] = &[
    ("placement", &[]),
    ("h1", &[]),
    ("api", &[]),
    ("fleet", &["placement"]),
    ("driver", &["fleet", "placement"]),
    ("proxy", &["fleet", "h1", "placement"]),
    ("control", &["api", "driver", "fleet", "placement"]),
    ("config", &["driver", "fleet", "h1", "placement", "proxy"]),
    ("lab", &["api", "fleet", "placement"]),
    ("admin", &["api", "control", "driver", "fleet"]),
    ("console", &["api", "fleet"]),
    (
        "evenkeel",
        &[
            "admin",
            "api",
            "config",
            "console",
            "control",
            "driver",
            "fleet",
            "h1",
            "lab",
            "placement",
            "proxy",
        ],
    ),
];

/// Rooms without I/O, clock, randomness, logging or await, and what would bring those in.
const PURE: &[&str] = &["placement", "h1", "fleet"];
const IMPURE: &[&str] = &["tokio", "tracing", "fastrand", "rand", "hyper", "rustix", "libc"];

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Words that stand for a thought that was not finished. They are put together here, so that this
/// file does not hold them.
fn banned() -> Vec<String> {
    let words =
        [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"], ["todo", "!("], ["unimplemented", "!("], ["dbg", "!("]];
    words.iter().map(|parts| parts.concat()).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    collect(&root().join("crates"), &mut files);
    assert!(files.len() > 50, "the sources are not where this test looks for them");
    files
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            files.push((path, text));
        }
    }
}

#[test]
fn rooms_import_downwards_only() {
    let rooms: Vec<&str> = FLOORS.iter().map(|(room, _)| *room).collect();
    let mut folders: Vec<String> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut known: Vec<&str> = rooms.clone();
    known.sort_unstable();
    assert_eq!(folders, known, "every room has a floor");
    for (room, below) in FLOORS {
        let manifest = fs::read_to_string(root().join("crates").join(room).join("Cargo.toml")).unwrap();
        let (_, dependencies) = manifest.split_once("[dependencies]").unwrap();
        let names = dependencies.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
        for name in names.filter(|name| !name.is_empty()) {
            let is_upward = rooms.contains(&name) && !below.contains(&name);
            assert!(!is_upward, "{room} imports {name}, which is not below it");
            let is_impure = PURE.contains(room) && IMPURE.contains(&name);
            let is_for_tests =
                manifest.split_once("[dev-dependencies]").is_some_and(|(_, rest)| rest.contains(name));
            assert!(!is_impure || is_for_tests, "{room} is pure, {name} is not");
        }
    }
}

#[test]
fn every_file_says_what_it_owns_and_stays_short() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{} does not say what it owns", path.display());
        let lines = text.lines().count();
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines", path.display());
    }
}

#[test]
fn every_function_fits_on_a_screen() {
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            if !is_function(line.trim_start()) {
                continue;
            }
            // The code is formatted: a function ends at the first brace on its own indentation.
            let end = format!("{}}}", " ".repeat(indent));
            let length = lines[start..].iter().position(|line| **line == end).unwrap_or(0) + 1;
            assert!(length <= FUNCTION_LINES_MAX, "{}:{} has {length} lines", path.display(), start + 1);
        }
    }
}

fn is_function(line: &str) -> bool {
    let words = line.split(' ').take_while(|word| !word.contains('('));
    let mut words = words.chain(line.split('(').next().and_then(|head| head.split(' ').next_back()));
    line.contains("fn ") && !line.ends_with(';') && !line.starts_with("//") && words.any(|word| word == "fn")
}

#[test]
fn no_unfinished_thought_is_left_in_the_code() {
    for (path, text) in sources() {
        for word in banned() {
            assert!(!text.contains(&word), "{} contains {word}", path.display());
        }
        let is_test = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
        let code = text.split("#[cfg(test)]").next().unwrap();
        assert!(
            is_test || !code.contains("use super::*"),
            "{} imports everything from above",
            path.display()
        );
    }
}

#[test]
fn no_unsafe_code_and_no_way_around_the_lints() {
    for (room, _) in FLOORS {
        let manifest = fs::read_to_string(root().join("crates").join(room).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{room} does not take the workspace's lints");
    }
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(workspace.contains("unsafe_code = \"forbid\""));
}

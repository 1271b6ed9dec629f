//! What the documents tell one to type can be typed: every `evenkeel …` of theirs, and of our own help, is
//! understood by the command line, and every configuration that they show is a valid one.

use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use super::Cli;

/// What is completed where a document shows a part of a file.
const SERVICE: &str = "\n[[service]]\nname = \"web\"\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The documents, by name.
fn documents() -> Vec<(String, String)> {
    let folders = [root(), root().join("docs")];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).flatten();
    let pages =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "md"));
    let mut found: Vec<_> =
        pages.map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap())).collect();
    found.sort();
    assert!(found.len() > 10, "{found:?}");
    found
}

/// A part of a document between fences, and what stands behind the first fence.
fn blocks(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let fenced = text.split("\n```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').unwrap_or((block, "")))
}

/// The command that a line of a block shows, without what is said of it.
fn shown_in_line(line: &str) -> Option<&str> {
    let line = line.trim_start().trim_start_matches("$ ");
    let at = match line.split_once("/evenkeel ") {
        Some((before, _)) if !before.contains("  ") => before.len() + 1,
        _ => line.starts_with("evenkeel ").then_some(0)?,
    };
    let end = ["  ", " | ", " && ", " > ", " #"];
    let command = end.iter().fold(&line[at..], |command, end| command.split(end).next().unwrap_or(command));
    Some(command.trim())
}

/// Everything that a document shows as a command.
fn commands(text: &str) -> Vec<String> {
    let of_blocks = blocks(text).filter(|(kind, _)| *kind != "toml");
    let mut found: Vec<String> =
        of_blocks.flat_map(|(_, block)| block.lines().filter_map(shown_in_line)).map(str::to_owned).collect();
    let prose: String = text.split("\n```").step_by(2).collect();
    let spans = prose.split('`').skip(1).step_by(2);
    found.extend(spans.filter(|span| span.starts_with("evenkeel ")).map(str::to_owned));
    found
}

fn check(command: &str, place: &str) {
    let words = command.split_whitespace().map(|word| word.trim_matches(['\'', '"']));
    let Err(error) = Cli::try_parse_from(words) else { return };
    // A command may be named without all that it takes.
    let is_named_only = matches!(
        error.kind(),
        ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
    );
    assert!(is_named_only, "{place} has `{command}`, which is no command:\n{error}");
}

#[test]
fn every_command_that_the_documents_show_is_one() {
    let mut count = 0;
    for (name, text) in documents() {
        let shown = commands(&text);
        count += shown.len();
        shown.iter().for_each(|command| check(command, &name));
    }
    assert!(count > 60, "only {count} were found");
}

#[test]
fn every_command_that_our_help_shows_is_one() {
    let mut all = vec![Cli::command()];
    let mut count = 0;
    while let Some(command) = all.pop() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let shown: Vec<&str> = help.lines().filter_map(shown_in_line).collect();
        count += shown.len();
        shown.iter().for_each(|line| check(line, &format!("the help of {}", command.get_name())));
        all.extend(command.get_subcommands().cloned());
    }
    assert!(count > 10, "only {count} were found");
}

#[test]
fn every_configuration_that_the_documents_show_is_valid() {
    let mut count = 0;
    for (name, text) in documents() {
        for (_, block) in blocks(&text).filter(|(kind, _)| *kind == "toml") {
            let is_whole = block.contains("[[service]]");
            let text = if is_whole { block.to_owned() } else { format!("{block}{SERVICE}") };
            let read = config::parse(&text, &name);
            assert!(read.is_ok(), "{}", read.map(|_| ()).unwrap_err());
            count += 1;
        }
    }
    assert!(count >= 3, "only {count} were found");
    for file in ["evenkeel.example.toml", "deploy/evenkeel.toml"] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let read = config::parse(&text, file);
        assert!(read.is_ok(), "{}", read.map(|_| ()).unwrap_err());
    }
}

#[test]
fn commands_are_found_where_they_are_shown() {
    let text = "Say `evenkeel ps` or `evenkeel`.\n```\n$ evenkeel scale 4    four\ntarget/release/evenkeel up --wait | head\n\
                docker-compose -p evenkeel exec balancer /evenkeel ps\nevenkeeper x\n```\nAnd `evenkeel rm S5`.\n";
    let found = ["evenkeel scale 4", "evenkeel up --wait", "evenkeel ps", "evenkeel ps", "evenkeel rm S5"];
    assert_eq!(commands(text), found);
}

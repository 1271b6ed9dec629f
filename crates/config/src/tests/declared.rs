//! What follows from the declarations of keys: the documentation, the example file, what changed between
//! two files, and hints for old names. A key that is made up here goes through all of it.

use std::collections::BTreeSet;
use std::fs;

use super::*;
use crate::describe::describe;
use crate::form::{Maybe, Text, Whole};
use crate::keys::{Key, Keys, Table};
use crate::problem::Problems;
use crate::{changes, read};

const DOCUMENTATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
const EXAMPLE: &str = include_str!("../../../../evenkeel.example.toml");

/// The documentation with the tables that the declarations make.
fn documented(text: &str) -> String {
    let mut text = text.to_owned();
    for Section { heading, table } in documentation() {
        let (before, after) = text.split_once(&format!("\n{heading}\n")).expect(heading);
        // Of several tables below a heading, the one of keys is meant.
        let (prose, old) = after.split_once("| key |").expect(heading);
        let rest = old.split_once("\n\n").expect(heading).1;
        text = format!("{before}\n{heading}\n{prose}{table}\n{rest}");
    }
    text
}

/// `WRITE_DOCUMENTATION=1 cargo test -p config documentation` writes the tables anew.
#[test]
fn the_documentation_has_the_tables_that_the_declarations_make() {
    let text = fs::read_to_string(DOCUMENTATION).unwrap();
    let expected = documented(&text);
    if std::env::var_os("WRITE_DOCUMENTATION").is_some() {
        fs::write(DOCUMENTATION, &expected).unwrap();
    } else {
        assert!(text == expected, "write it anew with WRITE_DOCUMENTATION=1; the tables are:\n{expected}");
    }
}

#[test]
fn the_example_has_every_key_and_is_accepted() {
    accept(EXAMPLE);
    let mut level = read::TOP;
    let mut found = BTreeSet::new();
    let levels = describe::<FileKeys>(read::TOP);
    for line in EXAMPLE.lines().map(|line| line.trim_start_matches(['#', ' '])) {
        if let Some(header) = levels.iter().find(|known| line.starts_with(known.title)) {
            level = header.title;
        } else if let Some((key, _)) = line.split_once(" = ") {
            found.insert((level, key));
        }
    }
    for level in levels.iter().filter(|level| level.title.starts_with('[') || level.title == read::TOP) {
        for row in level.rows.iter().filter(|row| row.title.is_none()) {
            assert!(found.contains(&(level.title, row.name)), "{} has no `{}`", level.title, row.name);
        }
    }
}

fn changed(old: &str, new: &str) -> Vec<String> {
    let changes = changes(&service(old), &service(new));
    changes.into_iter().map(|change| format!("{}: {:?}", change.key, change.effect)).collect()
}

#[test]
fn a_change_is_known_by_its_key_and_by_when_it_has_an_effect() {
    let command = "command = [\"./a\", \"{port}\"]";
    for (asked, expected) in [
        (command, &[][..]),
        ("command = [\"./a\", \"{port}\"]\nhost = \"*\"\n[service.heartbeat]\nmisses = 2", &[]),
        ("", &["command: Deploy"]),
        ("command = [\"./a\", \"{port}\"]\nreplicas = 9", &["replicas: Beginning"]),
        ("command = [\"./a\", \"{port}\"]\n[service.drain]\ndeadline = \"1s\"", &["drain.deadline: Restart"]),
        (
            "driver = \"static\"\naddresses = [\"127.0.0.1:1\"]",
            &[
                "replicas: Beginning",
                "driver: Restart",
                "command: Deploy",
                "addresses: Restart",
                "on_exit: Restart",
            ],
        ),
    ] {
        assert_eq!(changed(command, asked), expected, "{asked}");
    }
    let classic = "algorithm = \"classic\"\n";
    assert_eq!(changed(classic, &format!("{classic}slots = 64")), ["slots: Restart"]);
    assert_eq!(changed("", classic), ["algorithm: Restart", "load_factor: Restart"]);
    let ring = "algorithm = \"ring\"\n";
    assert_eq!(changed(ring, &format!("{ring}seat_names = [\"a\"]")), ["seat_names: Restart"]);
}

#[test]
fn an_old_name_is_refused_with_the_new_one() {
    let error = refuse("[[service]]\nname = \"web\"\n[service.answers]\nfailures = 5\n").to_string();
    let shown = "error: `answers` is called `responses` now
 --> evenkeel.toml:3:10
  |
3 | [service.answers]
  |          ^^^^^^^
  = help: write [service.responses]";
    assert_eq!(error, shown);
}

/// A file that is made up, with one key and one table.
#[derive(Clone)]
struct MadeUp {
    greeting: Option<String>,
    volume: u32,
}

impl Level for MadeUp {
    fn blank() -> Self {
        Self { greeting: None, volume: 3 }
    }

    fn walk(&mut self, keys: &mut impl Keys) {
        let word = Text::of("string", |text| Ok(text.to_owned()));
        let greeting = Key::new("greeting", Maybe(word), "what is said first");
        keys.key(greeting.effect(Effect::Deploy), &mut self.greeting);
        keys.table(Table::new("voice", "[voice]", "how it is said").formerly("sound"), |keys| {
            keys.key(Key::new("volume", Whole(1..=5), "how loud"), &mut self.volume);
        });
    }
}

/// What a made-up file says, or what is wrong with it.
fn read_made_up(text: &str) -> Result<MadeUp, ConfigError> {
    let mut problems = Problems::of(text);
    let mut it = MadeUp::blank();
    read::read(text, "the top", &mut it, &mut problems);
    problems.finish("made-up.toml").map(|()| it)
}

#[test]
fn one_declaration_reads_describes_and_compares_a_key() {
    let mut quiet = read_made_up("").unwrap_or_else(|error| panic!("{error}"));
    let mut loud =
        read_made_up("greeting = \"hello\"\n[voice]\nvolume = 5").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((loud.greeting.as_deref(), loud.volume), (Some("hello"), 5));
    let changes = changes::differences(&mut quiet, &mut loud);
    let changes: Vec<_> = changes.iter().map(|change| (change.key.as_str(), change.effect)).collect();
    assert_eq!(changes, [("greeting", Effect::Deploy), ("voice.volume", Effect::Restart)]);

    let levels = describe::<MadeUp>("the top");
    let rows: Vec<_> = levels.iter().flat_map(|level| &level.rows).collect();
    let told = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
    assert_eq!((told("greeting").kind, told("greeting").default.as_str()), ("string", "none"));
    assert_eq!((told("volume").default.as_str(), told("volume").limits.as_str()), ("3", "1–5"));
    assert_eq!(told("volume").says, "how loud");

    let shown = |text: &str| read_made_up(text).err().unwrap().to_string();
    assert!(
        shown("[voice]\nvolume = 6")
            .starts_with("error: `volume` must be from 1 to 5, not 6\n --> made-up.toml:2:10")
    );
    assert!(shown("greting = \"hi\"").ends_with("help: did you mean `greeting`?"));
    assert!(
        shown("volume = 1")
            .ends_with("help: `volume` is a key of [voice]; this is the top, which has `greeting`, `voice`")
    );
    assert!(shown("[sound]").ends_with("help: write [voice]"));
}

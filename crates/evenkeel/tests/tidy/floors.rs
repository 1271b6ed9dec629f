//! The floors of the house: each room imports from below only, and what is pure stays pure.

use std::fs;

use crate::house::root;

/// A room, and the rooms that it may import.
pub(crate) struct Floor {
    pub(crate) room: &'static str,
    pub(crate) number: u8,
    below: &'static [&'static str],
}

const fn floor(number: u8, room: &'static str, below: &'static [&'static str]) -> Floor {
    Floor { room, number, below }
}

/// The house, from the ground up.
pub(crate) const FLOORS: &[Floor] = &[
    floor(0, "placement", &[]),
    floor(0, "h1", &[]),
    floor(0, "hpack", &[]),
    floor(0, "api", &[]),
    floor(0, "files", &[]),
    floor(0, "sockets", &[]),
    floor(1, "fleet", &["placement"]),
    floor(2, "driver", &["files", "fleet", "placement", "sockets"]),
    floor(2, "proxy", &["fleet", "h1", "hpack", "placement"]),
    floor(3, "control", &["driver", "files", "fleet", "h1", "placement"]),
    floor(3, "config", &["driver", "fleet", "h1", "placement", "proxy"]),
    floor(3, "lab", &["api", "fleet", "placement"]),
    floor(4, "admin", &["api", "control", "driver", "files", "fleet"]),
    floor(4, "console", &["api", "files", "fleet", "sockets"]),
    floor(
        5,
        "evenkeel",
        &[
            "admin",
            "api",
            "config",
            "console",
            "control",
            "driver",
            "files",
            "fleet",
            "h1",
            "lab",
            "placement",
            "proxy",
        ],
    ),
];

/// Rooms without I/O, clock, randomness, logging or await, and what would bring those in.
const PURE: &[&str] = &["placement", "h1", "hpack", "api", "fleet"];
const IMPURE: &[&str] = &["tokio", "tracing", "fastrand", "rand", "hyper", "rustix", "libc"];

fn manifest(room: &str) -> toml::Table {
    let text = fs::read_to_string(root().join("crates").join(room).join("Cargo.toml")).unwrap();
    text.parse().unwrap_or_else(|error| panic!("{room}: {error}"))
}

fn dependencies(room: &str) -> Vec<String> {
    let manifest = manifest(room);
    let table = manifest.get("dependencies").and_then(toml::Value::as_table);
    table.map(|table| table.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn every_room_has_a_floor_and_builds_on_lower_ones() {
    let folders = fs::read_dir(root().join("crates")).unwrap();
    let mut folders: Vec<String> =
        folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    folders.sort();
    let mut rooms: Vec<&str> = FLOORS.iter().map(|floor| floor.room).collect();
    rooms.sort_unstable();
    assert_eq!(folders, rooms, "every room has a floor");
    for Floor { room, number, below } in FLOORS {
        for name in *below {
            let other = FLOORS.iter().find(|floor| floor.room == *name);
            assert!(other.is_some_and(|other| other.number < *number), "{name} is not below {room}");
        }
    }
}

#[test]
fn rooms_import_downwards_only() {
    for Floor { room, below, .. } in FLOORS {
        for name in dependencies(room) {
            let is_ours = FLOORS.iter().any(|floor| floor.room == name);
            assert!(
                !is_ours || below.contains(&name.as_str()),
                "{room} imports {name}, which is not below it"
            );
            let is_impure = PURE.contains(room) && IMPURE.contains(&name.as_str());
            assert!(!is_impure, "{room} is pure, {name} is not");
        }
    }
}

#[test]
fn no_unsafe_code_and_no_way_around_the_lints() {
    let does_inherit = |room: &str| manifest(room)["lints"]["workspace"].as_bool() == Some(true);
    for Floor { room, .. } in FLOORS {
        assert!(does_inherit(room), "{room} does not take the workspace's lints");
    }
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(workspace.contains("unsafe_code = \"forbid\""));
}

//! No circle of files within a room: whoever reads one never has to have read another first that
//! already builds on it.

use std::collections::{BTreeMap, BTreeSet};

use crate::FLOORS;
use crate::house::{Module, Room, sources};

#[test]
fn files_of_a_room_import_each_other_in_one_direction_only() {
    let sources = sources();
    let mut circles = Vec::new();
    for floor in FLOORS {
        let room = Room::new(floor.room, &sources);
        assert!(!room.files.is_empty(), "{} has no files", floor.room);
        let imports = room.files.keys().map(|module| (module.clone(), room.imports(module))).collect();
        if let Some(circle) = circle(&imports) {
            circles.push(format!("{}: {}", floor.room, in_words(&circle, &imports)));
        }
    }
    assert!(circles.is_empty(), "files import each other in circles:\n{}", circles.join("\n"));
}

type Imports = BTreeMap<Module, BTreeMap<Module, String>>;

/// A shortest circle, if there is any: each file imports the next, and the last one the first.
fn circle(imports: &Imports) -> Option<Vec<Module>> {
    imports.keys().filter_map(|start| way_back(start, imports)).min_by_key(Vec::len)
}

/// The shortest way from a file over others back to itself.
fn way_back(start: &Module, imports: &Imports) -> Option<Vec<Module>> {
    let mut seen = BTreeSet::new();
    let mut ways = vec![vec![start.clone()]];
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in &ways {
            for next in imports.get(way.last()?)?.keys() {
                if next == start {
                    return Some(way.clone());
                }
                if seen.insert(next.clone()) {
                    longer.push([&way[..], std::slice::from_ref(next)].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

fn in_words(circle: &[Module], imports: &Imports) -> String {
    let name = |module: &Module| if module.is_empty() { "the root".into() } else { module.join("/") };
    let next = |index: usize| &circle[(index + 1) % circle.len()];
    let steps = circle.iter().enumerate().map(|(index, module)| {
        let next = next(index);
        format!("{} imports {} ({})", name(module), name(next), imports[module][next])
    });
    steps.collect::<Vec<_>>().join(", ")
}

#[test]
fn a_circle_is_found_and_told_by_its_shortest_way() {
    let module = |name: &str| vec![name.to_owned()];
    let imports = |pairs: &[(&str, &str)]| -> Imports {
        let mut imports = Imports::new();
        for (from, to) in pairs {
            imports.entry(module(to)).or_default();
            imports.entry(module(from)).or_default().insert(module(to), format!("crate::{to}"));
        }
        imports
    };
    let straight = [("a", "b"), ("a", "c"), ("b", "c"), ("c", "d")];
    assert_eq!(circle(&imports(&straight)), None);
    let long_and_short = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "c")];
    let found = imports(&long_and_short);
    let told = in_words(&circle(&found).unwrap(), &found);
    assert_eq!(told, "c imports d (crate::d), d imports c (crate::c)");
}

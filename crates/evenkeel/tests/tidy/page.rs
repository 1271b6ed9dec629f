//! The page about the architecture names files that are there, so that a reader finds them.

use std::fs;

use crate::FLOORS;
use crate::house::root;

#[test]
fn every_file_that_the_architecture_names_is_there() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs")).collect();
    assert!(named.len() > 20, "the page names few files: {named:?}");
    for name in named {
        // Within a room; only `lib.rs` is everybody's.
        let Some((room, file)) = name.split_once('/') else { continue };
        let path = root().join("crates").join(room).join("src").join(file);
        assert!(path.is_file(), "ARCHITECTURE.md names {name}, which is not there");
    }
}

#[test]
fn the_architecture_draws_every_room_on_its_floor() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let map = page.split("```").nth(1).unwrap();
    let mut floor = None;
    let mut drawn = Vec::new();
    for line in map.lines().filter(|line| !line.is_empty()) {
        floor = line.split(' ').next().and_then(|digit| digit.parse().ok()).or(floor);
        let room = line[1..].split_whitespace().next().unwrap();
        drawn.push((room, floor.unwrap()));
    }
    let mut rooms: Vec<(&str, u8)> = FLOORS.iter().map(|floor| (floor.room, floor.number)).collect();
    drawn.sort_unstable();
    rooms.sort_unstable();
    assert_eq!(drawn, rooms);
}

//! What the container of a replica is called on its engine: `OWNER_REPLICA`.
//!
//! Everybody who uses an engine shares one space of container names, and replicas of different balancers may have
//! the same name. So a container carries both, and which two are meant can be read back: no two pairs make
//! one name. The replica's own name is its host name and its alias on the network.
//!
//! There is no dot in what comes last, so that a caller who chooses a replica's name cannot make the
//! name of a machine of some domain out of an owner that is called like one.

use fleet::ReplicaName;

/// Between the two. In an owner it is followed by a letter or digit only here, as names begin with one.
const SEPARATOR: char = '_';

/// The name of a replica's container.
pub(super) fn container_name(owner: &str, replica: &str) -> String {
    let mut name = String::with_capacity(owner.len() + 1 + replica.len());
    if !owner.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        // An engine wants a letter or digit first. Nothing else is written like this.
        name.push_str("0_..");
    }
    for byte in owner.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'-' => name.push(char::from(byte)),
            // What an owner is by default: an address with a port.
            b':' => name.push_str("__"),
            b'_' => name.push_str("_-"),
            other => name.push_str(&format!("_.{other:02x}")),
        }
    }
    name.push(SEPARATOR);
    name.push_str(replica);
    name
}

/// Whether a replica's container may be called so. Those of earlier versions have the replica's name alone.
pub(super) fn is_name_of(called: &str, owner: &str, replica: &str) -> bool {
    called == replica || called == container_name(owner, replica)
}

/// Which replica of an owner a container of this name would be.
pub(super) fn replica_in(called: &str, owner: &str) -> Option<ReplicaName> {
    called.strip_prefix(&container_name(owner, "")).and_then(|name| ReplicaName::parse(name).ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_container_is_called_by_owner_and_replica() {
        for (owner, expected) in [
            ("evenkeel-compose", "evenkeel-compose_server_1"),
            ("127.0.0.1:5000", "127.0.0.1__5000_server_1"),
            ("shop_1", "shop_-1_server_1"),
            ("[::1]:5000", "0_.._.5b____1_.5d__5000_server_1"),
            ("é", "0_.._.c3_.a9_server_1"),
        ] {
            let name = container_name(owner, "server_1");
            assert_eq!(name, expected);
            assert!(is_name_of(&name, owner, "server_1") && is_name_of("server_1", owner, "server_1"));
            assert!(!is_name_of(&name, "somebody", "server_1") && !is_name_of(&name, owner, "server_2"));
            assert_eq!(replica_in(&name, owner).unwrap().as_str(), "server_1");
            assert_eq!(replica_in(&name, "somebody"), None);
        }
        assert_eq!(replica_in("me_", "me"), None);
    }

    #[test]
    fn no_two_owners_and_replicas_make_one_name_and_an_engine_takes_all_of_them() {
        let owners: Vec<String> = words(&["a", "0", "_", "-", ".", ":", "[", "f"], 4);
        let replicas = ["a", "0f", "a_a", "a-_a", "f_.0", "a__a", "0_..a"];
        let mut seen = BTreeMap::new();
        for owner in &owners {
            for replica in replicas {
                let name = container_name(owner, replica);
                let is_taken = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
                assert!(name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(is_taken));
                if let Some(other) = seen.insert(name.clone(), (owner, replica)) {
                    panic!("{name} is {other:?} and {:?}", (owner, replica));
                }
            }
        }
    }

    /// All words of up to so many letters.
    fn words(letters: &[&str], length_max: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut begin = 0;
        for _ in 0..length_max {
            let end = all.len();
            for word in begin..end {
                let longer: Vec<String> =
                    letters.iter().map(|letter| format!("{}{letter}", all[word])).collect();
                all.extend(longer);
            }
            begin = end;
        }
        all.split_off(1)
    }
}

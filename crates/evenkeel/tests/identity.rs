//! Who a balancer is to what it left behind, when it listens elsewhere than before.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::path::Path;
use std::process::Command;

use rig::{Balancer, PROGRAM, Rig};
use serde_json::Value;

fn addresses(balancer: &Balancer) -> Vec<Value> {
    balancer.replicas().iter().map(|replica| replica["address"].clone()).collect()
}

/// Ends what was kept by a balancer of this file, which does not say where that listened.
fn end_for_good(file: &Path, count: usize) {
    let output = Command::new(PROGRAM).arg("down").arg("--config").arg(file).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains(&format!("{count} processes ended")), "{said}");
}

#[test]
fn who_listens_elsewhere_with_the_same_state_directory_is_the_same_owner() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "state_dir = {:?}\n[[service]]\nname = \"web\"\nreplicas = 2\non_exit = \"keep\"\n",
        folder.path().join("state")
    );
    let balancer = Rig::new().config(&config).up();
    let (before, listened) = (addresses(&balancer), balancer.address);
    balancer.signal("-TERM");
    assert_eq!(balancer.ended().0, Some(0));
    let again = Rig::new().config(&config.replace("keep", "stop")).up();
    assert_ne!(again.address, listened);
    assert_eq!(addresses(&again), before, "they are taken over");
    again.signal("-TERM");
    assert_eq!(again.ended().0, Some(0));
}

#[test]
fn who_listens_elsewhere_by_the_same_file_goes_on_and_who_is_not_surely_the_same_is_told_how() {
    let folder = tempfile::tempdir().unwrap();
    let [file, copy] = ["own.toml", "copy.toml"].map(|name| folder.path().join(name));
    // Wherever there is room: elsewhere each time. And nothing says whose it is.
    let config = "listen = \"127.0.0.1:0\"\n[[service]]\nname = \"web\"\nreplicas = 2\non_exit = \"keep\"\n";
    for file in [&file, &copy] {
        std::fs::write(file, config).unwrap();
    }
    let first = Rig::new().config_file(&file).up();
    let (before, owner) = (addresses(&first), first.address.to_string());
    first.signal("-9");
    let _ = first.ended();

    let again = Rig::new().config_file(&file).up();
    assert_ne!(again.address.to_string(), owner);
    assert_eq!(addresses(&again), before, "they are taken over");
    assert!(
        again.said_at_start.contains(&format!("goes on as the owner \"{owner}\"")),
        "{}",
        again.said_at_start
    );
    let beside = Rig::new().config_file(&file).up();
    let next = beside.address.to_string();
    assert!(addresses(&beside).iter().all(|address| !before.contains(address)), "that one runs");
    for balancer in [again, beside] {
        balancer.signal("-TERM");
        assert_eq!(balancer.ended().0, Some(0));
    }

    let other = Rig::new().config_file(&copy).up();
    let last = other.address.to_string();
    assert!(
        addresses(&other).iter().all(|address| !before.contains(address)),
        "nobody knows that it is the same"
    );
    let way = format!("give it owner = \"{owner}\"");
    assert!(other.said_at_start.contains(&way), "{}", other.said_at_start);
    other.signal("-TERM");
    assert_eq!(other.ended().0, Some(0));
    end_for_good(&copy, 2);
    for owner in [&owner, &next] {
        std::fs::write(&file, format!("owner = \"{owner}\"\n{config}")).unwrap();
        end_for_good(&file, 2);
    }
    for owner in [owner, next, last] {
        rig::forget_state(&owner);
        rig::forget_owner(&owner);
    }
}

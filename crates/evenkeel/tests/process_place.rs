//! Where processes begin, which ports they are given, what their words and their files of variables say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::path::Path;

use rig::kept::Kept;
use rig::{PROGRAM, Rig, eventually};

/// A command that tells in a file what it was given, and then serves. It lies beside the file, under a relative path.
fn write_server(folder: &Path) {
    let script = format!(
        "#!/bin/sh\necho \"$1 $(pwd) $GREETING\" >>told\nexec {PROGRAM} replica --listen 127.0.0.1:$PORT\n"
    );
    let server = folder.join("server");
    std::fs::write(&server, script).unwrap();
    std::fs::set_permissions(&server, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(folder.join("app.env"), "# who is greeted\nexport GREETING='hello {you}' # nobody\n")
        .unwrap();
}

#[test]
fn a_process_begins_in_its_directory_with_a_port_of_its_range_however_it_is_kept() {
    for on_exit in ["stop", "keep"] {
        let (kept, folder) = (Kept::new(), tempfile::tempdir().unwrap());
        let place = folder.path().canonicalize().unwrap();
        write_server(&place);
        // Relative to the configuration file, which is elsewhere for the rig.
        let config = format!(
            "{}[[service]]\nname = \"web\"\nreplicas = 2\non_exit = \"{on_exit}\"\ncommand = [\"./server\", \"{{{{name}}}}-{{name}}\"]\n\
             directory = {place:?}\nenv_file = [{:?}]\nports = \"23100-23139\"\n",
            kept.top(),
            place.join("app.env"),
        );
        let balancer = Rig::new().config(&config).up();
        let told = || std::fs::read_to_string(place.join("told")).unwrap_or_default();
        let expected = |name: &str| format!("{{name}}-{name} {} hello {{you}}\n", place.display());
        eventually("both have told what they were given", || {
            ["web_1", "web_2"].iter().all(|name| told().contains(&expected(name)))
        });
        for replica in balancer.replicas() {
            let port: u16 = replica["address"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
            assert!((23_100..=23_139).contains(&port), "{port}");
        }
        assert_eq!(balancer.get("/heartbeat").status, 200);
    }
}

#[test]
fn a_directory_that_is_not_there_and_a_range_that_is_too_small_are_told() {
    let missing = "[[service]]\nname = \"web\"\ndirectory = \"/nowhere/at/all\"\n";
    let refused = Rig::new().config(missing).waiting().try_up().map(|_| ()).unwrap_err();
    assert!(refused.contains("there is no directory '/nowhere/at/all' to begin in"), "{refused}");
    let small = "[[service]]\nname = \"web\"\nports = \"23100-23102\"\n";
    let refused = Rig::new().config(small).try_up().map(|_| ()).unwrap_err();
    assert!(refused.contains("`ports` has 3 ports, and 4 replicas may run at a time"), "{refused}");
}

//! Rollouts of images, with real containers: a name that means another image, and what comes of a
//! balancer that ends halfway.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::process::Output;

use rig::docker::{Yard, docker};
use rig::load::Load;
use rig::{Balancer, Rig, eventually};

const REPLICA: [&str; 3] = ["replica", "--listen", "0.0.0.0:5000"];

fn run(balancer: &Balancer, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = balancer.command(arguments);
    (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

/// The images that the yard's containers run, each once.
fn images(yard: &Yard) -> Vec<String> {
    let mut images: Vec<String> =
        yard.containers(false).iter().map(|name| yard.inspect(name, "{{.Image}}")).collect();
    images.sort();
    images.dedup();
    images
}

fn image_id(yard: &Yard) -> String {
    docker(&["image", "inspect", "--format", "{{.Id}}", &yard.image]).trim().to_string()
}

#[test]
fn a_new_image_under_the_same_name_is_rolled_out_and_a_bad_one_is_rolled_back() {
    let Some(yard) = Yard::open() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = yard.config(
        &format!("state_dir = {:?}", folder.path()),
        "start_timeout = \"20s\"\n[service.deploy]\nbake = \"200ms\"",
    );
    let balancer = Rig::new().config(&config).up();
    let first = image_id(&yard);
    let (code, said) = run(&balancer, &["deploy"]);
    assert!(code == Some(0) && said.contains("nothing has changed"), "{said}");

    let load = Load::start(balancer.address, 200);
    yard.renew_image(&REPLICA);
    let second = image_id(&yard);
    assert_ne!(first, second);
    // Nobody has deployed it: who is killed comes back as what was.
    yard.strike(&["kill"], "server_1");
    eventually("it is replaced", || {
        balancer.replicas().iter().all(|replica| replica["state"] == "ready" && replica["name"] != "server_1")
    });
    eventually("nothing is left of the killed", || yard.containers(true).len() == 3);
    assert_eq!(images(&yard), [first.as_str()]);

    let (code, said) = run(&balancer, &["deploy"]);
    assert!(code == Some(0) && said.contains("done, 3 replicas were replaced"), "{said}");
    eventually("the old ones are gone", || yard.containers(true).len() == 3);
    assert_eq!(images(&yard), [second.as_str()]);

    yard.renew_image(&["no-such-command"]);
    let (code, said) = run(&balancer, &["deploy"]);
    assert!(code == Some(1) && said.contains("rolled back") && said.contains("exited with code 2"), "{said}");
    eventually("what was tried is gone", || yard.containers(true).len() == 3);
    assert_eq!(images(&yard), [second.as_str()]);
    load.stop().assert_nothing_lost();

    // What the name means now is not what runs; only a deployment brings it.
    balancer.signal("-TERM");
    let _ = balancer.ended();
    yard.renew_image(&REPLICA);
    let again = Rig::new().config(&config).up();
    assert_eq!(again.service()["ready"], 3);
    assert_eq!(images(&yard), [second.as_str()]);
    assert_eq!(run(&again, &["deploy"]).0, Some(0));
    eventually("the old ones are gone", || yard.containers(true).len() == 3);
    assert_eq!(images(&yard), [image_id(&yard)]);
}

#[test]
fn a_balancer_that_is_killed_in_a_rollout_is_followed_by_one_that_finishes_it() {
    let Some(yard) = Yard::open() else { return };
    let folder = tempfile::tempdir().unwrap();
    let top = format!("state_dir = {:?}", folder.path());
    let service = "[service.deploy]\nbake = \"500ms\"";
    let balancer = Rig::new().config(&yard.config(&top, service)).up();
    let next = yard.config(&top, &format!("env = {{ COLOUR = \"green\" }}\n{service}"));
    balancer.rewrite_config(&next);
    std::thread::scope(|scope| {
        let deploy = scope.spawn(|| run(&balancer, &["deploy"]));
        eventually("a seat has passed", || balancer.service()["rollout"]["done"] == 1);
        balancer.signal("-9");
        assert_eq!(deploy.join().unwrap().0, Some(1), "nobody tells how it goes on");
    });
    let _ = balancer.ended();
    let again = Rig::new().config(&next).up();
    eventually("it is finished", || again.service()["rollout"]["state"] == "done");
    eventually("nothing is left of the old ones", || yard.containers(true).len() == 3);
    for name in yard.containers(true) {
        assert!(yard.inspect(&name, "{{.Config.Env}}").contains("COLOUR=green"), "{name}");
    }
    assert_eq!(again.service()["ready"], 3);
}

#[test]
fn containers_that_end_after_a_rollback_and_a_restart_come_back_with_the_image_that_was_deployed() {
    let Some(yard) = Yard::apart() else { return };
    let folder = tempfile::tempdir().unwrap();
    let top = format!("state_dir = {:?}", folder.path());
    let config = yard.config(&top, "start_timeout = \"20s\"\n[service.deploy]\nbake = \"200ms\"");
    let balancer = Rig::new().config(&config).up();
    let first = image_id(&yard);
    yard.renew_image(&["no-such-command"]);
    let (code, said) = run(&balancer, &["deploy"]);
    assert!(code == Some(1) && said.contains("rolled back"), "{said}");
    balancer.signal("-9");
    let _ = balancer.ended();

    let again = Rig::new().config(&config).up();
    let told = &again.said_at_start;
    assert!(told.contains("what runs differ: image (its name means another one now)."), "{told}");
    let load = Load::start(again.address, 200);
    for name in yard.containers(false) {
        yard.strike(&["kill"], &name);
        let is_replaced = || again.service()["ready"] == 3 && !yard.containers(true).contains(&name);
        eventually("it is replaced", is_replaced);
    }
    load.stop().assert_nothing_lost();
    assert_eq!(images(&yard), [first.as_str()]);

    // When that image is gone, what has its name is not run instead; that takes a deployment.
    again.signal("-9");
    let _ = again.ended();
    for name in yard.containers(true) {
        yard.strike(&["rm", "-f"], &name);
    }
    docker(&["rmi", &first]);
    let last = Rig::new().config(&config).early().up();
    let reason = || last.command(&["status"]);
    let is_told =
        |output: &Output| String::from_utf8_lossy(&output.stdout).contains("is gone from this host");
    eventually("it is told why", || is_told(&reason()));
    yard.renew_image(&REPLICA);
    let (code, said) = run(&last, &["deploy"]);
    assert_eq!(code, Some(0), "{said}");
    eventually("they serve", || last.service()["ready"] == 3);
    assert_eq!(images(&yard), [image_id(&yard)]);
}

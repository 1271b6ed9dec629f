//! The engine fails too: it hangs, breaks off, says no or is gone, while a load goes on. Requests
//! notice nothing, and what it held up is made good when it is back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

#[path = "engine/ends.rs"]
mod ends;
#[path = "engine/restart.rs"]
mod restart;
mod rig;

use std::collections::BTreeSet;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rig::client::{Answer, send};
use rig::docker::Yard;
use rig::load::{Load, Tally};
use rig::relay::{Call, Failures, Relay, When};
use rig::{Balancer, Rig, eventually, eventually_within, kill};
use serde_json::Value;

/// Requests a second.
const RATE: u32 = 300;

/// For what the next regular list repairs at the latest.
const LONG: Duration = Duration::from_secs(60);

/// A balancer with three containers, under load.
struct Scene {
    load: Load,
    balancer: Balancer,
    yard: Yard,
    _folder: tempfile::TempDir,
}

impl Scene {
    /// With a relay between the balancer and the engine.
    fn open(service: &str) -> Option<(Self, Relay)> {
        let yard = Yard::apart()?;
        let relay = Relay::to(Path::new("/var/run/docker.sock"));
        Some((Self::at(yard, &relay.host(), RATE, service), relay))
    }

    fn at(yard: Yard, engine: &str, rate: u32, service: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&yard, folder.path(), service);
        let balancer = Rig::new().config(&config).engine(engine).up();
        eventually_within(LONG, "all replicas take traffic", || is_whole(&balancer, 3));
        let load = Load::start(balancer.address, rate);
        Self { load, balancer, yard, _folder: folder }
    }

    /// Some replica that takes traffic.
    fn victim(&self) -> String {
        names(&self.balancer)[1].clone()
    }

    fn pid(&self, name: &str) -> u32 {
        self.yard.inspect(name, "{{.State.Pid}}").parse().unwrap()
    }

    /// Kills a replica by a signal to its process, and waits until it is out of the table.
    fn kill(&self, name: &str) {
        self.kill_process(name, self.pid(name));
    }

    /// The same, without asking an engine.
    fn kill_process(&self, name: &str, pid: u32) {
        let begun = Instant::now();
        kill("-9", pid);
        eventually("it is out of the table", || self.is_out(name));
        println!("killed, out of the table after {:?}", begun.elapsed());
    }

    fn is_out(&self, name: &str) -> bool {
        let replicas = self.balancer.replicas();
        replicas.iter().all(|replica| replica["name"] != name || replica["state"] != "ready")
    }

    /// Asks for one replica more.
    fn add_one(&self) -> JoinHandle<Answer> {
        let (admin, path) = (self.balancer.admin, self.path());
        std::thread::spawn(move || send(admin, "POST", &path, "{\"count\":1}"))
    }

    fn remove_one(&self) {
        let answer = send(self.balancer.admin, "DELETE", &self.path(), "{\"count\":1}");
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    fn path(&self) -> String {
        format!("/v1/services/{}/replicas", self.balancer.service()["name"].as_str().unwrap())
    }

    /// Waits until all is as it should be, at the engine as well, and somebody is gone.
    fn settle(&self, gone: &str) {
        eventually_within(LONG, "a replacement takes traffic", || {
            is_whole(&self.balancer, 3) && self.is_out(gone)
        });
        eventually_within(LONG, "as many containers as replicas, and no dead one", || {
            let wanted: BTreeSet<String> = names(&self.balancer).into_iter().collect();
            self.yard.containers(true) == wanted && self.yard.containers(false) == wanted
        });
    }

    fn end(self) -> Tally {
        let tally = self.load.stop();
        println!("{} answers, the slowest took {:?}", tally.answered(), tally.percentile(1.0));
        tally
    }
}

fn config(yard: &Yard, folder: &Path, service: &str) -> String {
    yard.config(&format!("state_dir = {folder:?}"), service)
}

fn names(balancer: &Balancer) -> Vec<String> {
    let name = |replica: &Value| replica["name"].as_str().unwrap().to_string();
    balancer.replicas().iter().map(name).collect()
}

fn is_whole(balancer: &Balancer, count: usize) -> bool {
    let replicas = balancer.replicas();
    replicas.len() == count && replicas.iter().all(|replica| replica["state"] == "ready")
}

#[test]
fn a_replica_that_dies_while_the_engine_hangs_is_out_at_once_and_replaced_when_it_goes_on() {
    for has_memory in [true, false] {
        let Some((scene, relay)) = Scene::open("") else { return };
        let victim = scene.victim();
        relay.hang();
        scene.kill(&victim);
        scene.balancer.says(|line| line.contains("Docker is away")).expect("it notices");
        let begun = Instant::now();
        if has_memory {
            relay.go_on();
        } else {
            relay.go_on_without_memory();
        }
        eventually("it is replaced", || is_whole(&scene.balancer, 3));
        println!(
            "replaced {:?} after the engine went on (knowing what it was asked: {has_memory})",
            begun.elapsed()
        );
        scene.settle(&victim);
        scene.end().assert_nothing_lost();
    }
}

#[test]
fn an_engine_that_is_gone_is_done_without_and_what_it_missed_is_made_good_at_once() {
    let Some((scene, relay)) = Scene::open("") else { return };
    let victim = scene.victim();
    relay.refuse();
    scene.kill(&victim);
    scene.balancer.says(|line| line.contains("Docker is away")).expect("it notices");
    let lists = relay.seen(Call::List);
    let begun = Instant::now();
    relay.listen();
    eventually("everything is listed", || relay.seen(Call::List) > lists);
    println!("listed {:?} after the engine was back", begun.elapsed());
    eventually("it is replaced", || is_whole(&scene.balancer, 3));
    println!("replaced {:?} after the engine was back", begun.elapsed());
    scene.settle(&victim);
    scene.end().assert_nothing_lost();
}

#[test]
fn an_addition_that_begins_while_the_engine_is_away_is_made_when_it_is_back() {
    let Some((scene, relay)) = Scene::open("") else { return };
    relay.refuse();
    let adding = scene.add_one();
    scene.balancer.says(|line| line.contains("Docker is away")).expect("it notices");
    relay.listen();
    let answer = adding.join().unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(is_whole(&scene.balancer, 4));
    scene.end().assert_nothing_lost();
}

#[test]
fn an_addition_to_an_engine_that_stays_away_is_undone_and_says_why() {
    let Some((scene, relay)) = Scene::open("start_timeout = \"8s\"") else { return };
    relay.refuse();
    let answer = scene.add_one().join().unwrap();
    assert_eq!(answer.status, 500, "{answer:?}");
    assert!(answer.body.contains("the engine is away"), "{answer:?}");
    assert!(is_whole(&scene.balancer, 3));
    relay.listen();
    scene.settle("");
    scene.end().assert_nothing_lost();
}

#[test]
fn connections_that_break_in_the_middle_of_anything_harm_nothing() {
    let Some((scene, relay)) = Scene::open("") else { return };
    for round in 0..4 {
        let victim = scene.victim();
        let adding = scene.add_one();
        scene.kill(&victim);
        let calls = relay.seen(Call::Create);
        eventually("something is under way", || relay.seen(Call::Create) >= calls);
        relay.cut();
        let answer = adding.join().unwrap();
        assert_eq!(answer.status, 200, "round {round}: {answer:?}");
        eventually("all are there", || is_whole(&scene.balancer, 4) && scene.is_out(&victim));
        scene.remove_one();
    }
    scene.settle("");
    scene.end().assert_nothing_lost();
}

#[test]
fn without_an_event_stream_lists_take_its_place_until_there_is_one_again() {
    let Some((scene, relay)) = Scene::open("") else { return };
    relay.allow_events(false);
    let (lists, victim) = (relay.seen(Call::List), scene.victim());
    let begun = Instant::now();
    eventually("everything is listed again and again", || relay.seen(Call::List) >= lists + 5);
    println!("five lists within {:?}", begun.elapsed());
    scene.kill(&victim);
    eventually("it is replaced", || is_whole(&scene.balancer, 3) && scene.is_out(&victim));
    relay.allow_events(true);
    let events = relay.seen(Call::Events);
    eventually("the stream is asked for", || relay.seen(Call::Events) > events);
    scene.settle(&victim);
    scene.end().assert_nothing_lost();
}

#[test]
fn what_fails_now_and_then_is_tried_again_and_leaves_nothing() {
    let Some((scene, relay)) = Scene::open("") else { return };
    for (call, when) in [
        (Call::Create, When::Instead),
        (Call::Create, When::Afterwards),
        (Call::Start, When::Instead),
        (Call::Start, When::Afterwards),
        (Call::Inspect, When::Instead),
        (Call::Remove, When::Instead),
        (Call::List, When::Instead),
    ] {
        println!("{call:?} fails three times, {when:?}");
        relay.fail(Failures { call, when, status: 500, left: 3 });
        let victim = scene.victim();
        scene.kill(&victim);
        scene.settle(&victim);
    }
    scene.end().assert_nothing_lost();
}

#[test]
fn a_list_that_hangs_holds_up_nothing_but_removals() {
    let Some((scene, relay)) = Scene::open("") else { return };
    relay.hold(Call::List);
    let victim = scene.victim();
    scene.kill(&victim);
    eventually("it is replaced", || is_whole(&scene.balancer, 3) && scene.is_out(&victim));
    scene.balancer.says(|line| line.contains("cannot list replicas")).expect("it is given up");
    relay.go_on();
    scene.settle(&victim);
    scene.end().assert_nothing_lost();
}

#[test]
fn a_start_that_hangs_is_given_up_and_what_it_made_later_is_removed() {
    let Some((scene, relay)) = Scene::open("start_timeout = \"8s\"") else { return };
    relay.hold(Call::Create);
    let victim = scene.victim();
    scene.kill(&victim);
    scene.balancer.says(|line| line.contains("took longer than 8s")).expect("it is given up");
    relay.go_on();
    scene.settle(&victim);
    scene.end().assert_nothing_lost();
}

#[test]
fn a_balancer_that_should_end_its_containers_ends_without_an_engine_and_says_so() {
    let Some(yard) = Yard::apart() else { return };
    let relay = Relay::to(Path::new("/var/run/docker.sock"));
    let folder = tempfile::tempdir().unwrap();
    let service = "on_exit = \"stop\"\nstop_timeout = \"1s\"\n[service.drain]\ndeadline = \"1s\"";
    let balancer = Rig::new().config(&config(&yard, folder.path(), service)).engine(&relay.host()).up();
    relay.hang();
    balancer.signal("-TERM");
    let (code, said) = balancer.ended();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not all replicas could be ended"), "{said}");
    assert_eq!(yard.containers(false).len(), 3);
}

#[test]
fn a_name_that_a_stranger_took_is_left_to_him() {
    let Some(yard) = Yard::apart() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = config(&yard, folder.path(), "");
    let balancer = Rig::new().config(&config).up();
    let taken = names(&balancer)[1].clone();
    balancer.signal("-9");
    let _ = balancer.ended();
    yard.strike(&["rm", "-f"], &taken);
    let stranger = yard.docker(&["create", "--name", &yard.container(&taken), &yard.image]);
    let again = Rig::new().config(&config).up();
    eventually("its replica has another name", || is_whole(&again, 3) && !names(&again).contains(&taken));
    let state = yard.inspect(&taken, "{{.Id}} {{.State.Status}}");
    yard.strike(&["rm", "-f"], &taken);
    assert_eq!(state, format!("{} created", stranger.trim()));
}

#[test]
fn a_replica_is_replaced_also_when_the_name_of_its_image_is_gone() {
    let Some((scene, _relay)) = Scene::open("") else { return };
    let (image, kept) = (scene.yard.image.clone(), format!("{}-kept", scene.yard.owner));
    scene.yard.docker(&["tag", &image, &kept]);
    scene.yard.docker(&["rmi", &image]);
    let victim = scene.victim();
    scene.kill(&victim);
    eventually("it is replaced", || is_whole(&scene.balancer, 3));
    scene.yard.docker(&["tag", &kept, &image]);
    scene.yard.docker(&["rmi", &kept]);
    scene.settle(&victim);
    scene.end().assert_nothing_lost();
}

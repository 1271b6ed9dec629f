//! The balancer killed at random moments of starting, adding, removing and replacing: after the next
//! start the fleet is what was desired before or what was asked for last, nothing is left over and
//! nothing is there twice.
//!
//! `EVENKEEL_MOMENTS` says how many moments, `EVENKEEL_SEED` begins with a seed that was printed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rig::docker::Yard;
use rig::kept::Kept;
use rig::{Balancer, Rig, client};
use serde_json::Value;

/// Without a number from outside.
const MOMENTS_OF_PROCESSES: usize = 20;
const MOMENTS_OF_CONTAINERS: usize = 6;

/// Replicas at most: more would only be slower.
const REPLICAS_MAX: usize = 6;

/// An engine that was asked for something by a balancer that is gone may still do it, and is asked
/// for everything every ten seconds.
const CONVERGENCE: Duration = Duration::from_secs(60);

type Names = BTreeSet<String>;

/// Where replicas run.
trait Ground {
    fn config(&self) -> String;
    /// What runs, or is left of what ran: a line for each thing, which a replica's name, or its seat
    /// and life, begin.
    fn is_exactly(&self, replicas: &[Value]) -> Result<(), String>;
    /// Ends a replica from outside.
    fn end(&self, replica: &Value);
    /// The longest time until the kill.
    fn patience(&self) -> Duration;
}

impl Ground for Kept {
    fn config(&self) -> String {
        format!("{}[[service]]\nname = \"web\"\non_exit = \"keep\"\n", self.top())
    }

    fn is_exactly(&self, replicas: &[Value]) -> Result<(), String> {
        let life = |replica: &Value| (format!("web/{}.{}", replica["seat"], replica["incarnation"]), 2);
        let expected: BTreeMap<String, usize> = replicas.iter().map(life).collect();
        let lives = self.lives();
        if lives == expected { Ok(()) } else { Err(format!("{:?}", self.carriers())) }
    }

    fn end(&self, replica: &Value) {
        let life = format!("web/{}.{}", replica["seat"], replica["incarnation"]);
        rig::kill("-9", self.replicas()[&life]);
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(350)
    }
}

impl Ground for Yard {
    fn config(&self) -> String {
        let Self { owner, network, image, .. } = self;
        format!(
            "owner = \"{owner}\"\nstate_dir = \"state\"\n[[service]]\nname = \"web\"\ndriver = \"docker\"\n\
             image = \"{image}\"\nnetwork = \"{network}\"\n"
        )
    }

    fn is_exactly(&self, replicas: &[Value]) -> Result<(), String> {
        let names: Names = replicas.iter().map(name).collect();
        let (running, all) = (self.containers(false), self.containers(true));
        if running == names && all == names { Ok(()) } else { Err(format!("{running:?} run of {all:?}")) }
    }

    fn end(&self, replica: &Value) {
        self.strike(&["kill"], &name(replica));
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(1500)
    }
}

fn name(replica: &Value) -> String {
    replica["name"].as_str().unwrap().to_owned()
}

/// What was asked for when the balancer was killed.
#[derive(Debug)]
enum Deed {
    Add(Vec<String>),
    Remove(Vec<String>),
    /// A replica is ended from outside, and replaced.
    Replace(String),
    /// Killed while it takes up what is there.
    Start,
    /// An addition and a removal at once.
    Both(Vec<String>, Vec<String>),
}

impl Deed {
    fn draw(random: &mut fastrand::Rng, round: usize, names: &[String]) -> Self {
        let new = |number| format!("new-{round}-{number}-{}", std::process::id());
        let added: Vec<String> = (0..random.usize(1..3)).map(new).collect();
        let one = |random: &mut fastrand::Rng| names[random.usize(..names.len())].clone();
        match random.u8(..5) {
            0 | 4 if names.len() + 2 > REPLICAS_MAX => Self::Remove(names[1..].to_vec()),
            1 | 2 | 4 if names.len() < 2 => Self::Add(added),
            0 => Self::Add(added),
            1 => Self::Remove(vec![one(random)]),
            2 => Self::Replace(one(random)),
            3 => Self::Start,
            _ => Self::Both(added, vec![one(random)]),
        }
    }

    /// Every desired state that may be found afterwards, and who may have got another name.
    fn allowed(&self, old: &Names) -> (Vec<Names>, Option<&String>) {
        let with = |names: &Names, added: &[String]| names.iter().chain(added).cloned().collect::<Names>();
        let without = |names: &Names, gone: &[String]| {
            names.iter().filter(|name| !gone.contains(name)).cloned().collect::<Names>()
        };
        match self {
            Self::Add(added) => (vec![old.clone(), with(old, added)], None),
            Self::Remove(gone) => (vec![old.clone(), without(old, gone)], None),
            Self::Replace(name) => (vec![old.clone()], Some(name)),
            Self::Start => (vec![old.clone()], None),
            Self::Both(added, gone) => {
                let (more, fewer) = (with(old, added), without(old, gone));
                let both = without(&more, gone);
                (vec![old.clone(), more, fewer, both], None)
            }
        }
    }
}

/// Asks for a change and says whether it was done; the balancer may be gone before it is answered.
fn ask(admin: client::AdminApi, service: &str, method: &str, names: &[String]) -> bool {
    let body = serde_json::json!({ "names": names }).to_string();
    let path = format!("/v1/services/{service}/replicas");
    client::try_send(admin, method, &path, &body).is_ok_and(|answer| answer.status == 200)
}

/// What is asked for is done in threads of their own, and after a while the balancer is killed.
/// Returns whether all that was asked for was answered as done.
fn do_and_kill(balancer: Balancer, ground: &dyn Ground, deed: &Deed, after: Duration) -> bool {
    let (admin, service) = (balancer.admin, balancer.service()["name"].as_str().unwrap().to_owned());
    let calls: Vec<(&str, &[String])> = match deed {
        Deed::Add(added) => vec![("POST", added)],
        Deed::Remove(gone) => vec![("DELETE", gone)],
        Deed::Both(added, gone) => vec![("POST", added), ("DELETE", gone)],
        Deed::Replace(_) | Deed::Start => Vec::new(),
    };
    if let Deed::Replace(victim) = deed {
        let replicas = balancer.replicas();
        ground.end(replicas.iter().find(|replica| name(replica) == *victim).unwrap());
    }
    std::thread::scope(|scope| {
        let asked: Vec<_> =
            calls.iter().map(|(method, names)| scope.spawn(|| ask(admin, &service, method, names))).collect();
        std::thread::sleep(after);
        balancer.signal("-9");
        let _ = balancer.ended();
        let done: Vec<bool> = asked.into_iter().map(|call| call.join().unwrap()).collect();
        !done.is_empty() && done.into_iter().all(|is_done| is_done)
    })
}

/// What there is after a start, once it has come to rest.
fn settled(balancer: &Balancer, ground: &dyn Ground) -> Names {
    let begun = Instant::now();
    loop {
        let service = balancer.service();
        let replicas = service["replicas"].as_array().unwrap().clone();
        let is_ready = replicas.iter().all(|replica| replica["state"] == "ready");
        let is_quiet = service["others"].as_array().unwrap().is_empty();
        let found = ground.is_exactly(&replicas);
        if is_ready && is_quiet && found.is_ok() {
            return replicas.iter().map(name).collect();
        }
        assert!(begun.elapsed() < CONVERGENCE, "it does not come to rest: {service} {found:?}");
    }
}

fn moments(ground: &dyn Ground, count: usize) {
    let from_outside = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let count = from_outside("EVENKEEL_MOMENTS").map_or(count, |count: u64| count as usize);
    let seed = from_outside("EVENKEEL_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("EVENKEEL_SEED={seed} EVENKEEL_MOMENTS={count}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let config = ground.config().replace("\"state\"", &format!("{:?}", folder.path()));
    let mut balancer = Rig::new().config(&config).up();
    let mut old = settled(&balancer, ground);
    let mut done = BTreeMap::new();
    for round in 0..count {
        let names: Vec<String> = old.iter().cloned().collect();
        let deed = Deed::draw(&mut random, round, &names);
        let after = ground.patience().mul_f64(random.f64().powi(2));
        let is_done = do_and_kill(balancer, ground, &deed, after);
        if matches!(deed, Deed::Start) {
            Rig::new().config(&config).killed_after(after * 2);
        }
        balancer = Rig::new().config(&config).up();
        let new = settled(&balancer, ground);
        let (allowed, renamed) = deed.allowed(&old);
        let is_one = |names: &Names| match renamed {
            None => new == *names,
            Some(renamed) => {
                new.len() == names.len() && names.iter().all(|name| name == renamed || new.contains(name))
            }
        };
        let context =
            format!("seed {seed}, moment {round}: {deed:?} after {after:?}: {old:?} became {new:?}");
        assert!(allowed.iter().any(is_one), "{context}");
        assert!(!is_done || is_one(allowed.last().unwrap()), "what was answered counts: {context}");
        let kind = format!("{deed:?}").split('(').next().unwrap().to_owned();
        *done.entry((kind, new != old)).or_insert(0) += 1;
        old = new;
    }
    println!("deeds, whether the fleet was another afterwards, how often: {done:?}");
    let again = client::send(balancer.address, "GET", "/home", "");
    assert_eq!(again.status, 200);
}

#[test]
fn processes_survive_a_balancer_that_is_killed_at_any_moment() {
    moments(&Kept::new(), MOMENTS_OF_PROCESSES);
}

#[test]
fn containers_survive_a_balancer_that_is_killed_at_any_moment() {
    let Some(yard) = Yard::open() else { return };
    moments(&yard, MOMENTS_OF_CONTAINERS);
}

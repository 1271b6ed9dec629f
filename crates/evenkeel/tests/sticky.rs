//! Sessions that stay where they are, through the real program: by a cookie of the balancer's own that names
//! the seat, whatever becomes of the replica there, and whoever else writes cookies.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

#[allow(dead_code, unreachable_pub, reason = "the tests of HTTP/2 use the rest")]
#[path = "http2/speak.rs"]
mod speak;

mod sticky {
    mod cookies;
    mod strangers;
}

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use rig::client::{Answer, Talk};
use rig::{Balancer, PROGRAM, Rig, eventually, kill};

const VISITORS: usize = 1000;
const THREADS: usize = 16;

/// Replicas that say in which seat they are.
fn config(greeting: &str) -> String {
    let command = [PROGRAM, "replica", "--listen", "127.0.0.1:{port}"];
    format!(
        "[[service]]\nname = \"web\"\nreplicas = 3\nsticky = \"seat\"\nserver_id = \"number\"\ncommand = {command:?}\n\
         env = {{ GREETING = \"{greeting}\" }}\n[service.deploy]\nbake = \"100ms\"\n"
    )
}

/// Somebody with a browser.
#[derive(Clone, Debug, Default)]
struct Visitor {
    cookie: Option<String>,
    /// Who answered last.
    seat: u32,
    /// Whether the last answer brought a cookie.
    was_given: bool,
}

impl Visitor {
    fn visit(&mut self, talk: &mut Talk) {
        let cookie = self.cookie.iter().map(|cookie| format!("Cookie: a=1; {cookie}\r\n"));
        talk.say(format!("GET /home HTTP/1.1\r\nHost: h\r\n{}\r\n", cookie.collect::<String>()));
        let answer = talk.answer();
        assert_eq!(answer.status, 200, "{answer:?}");
        self.seat = seat_in(&answer);
        let given = cookie_in(&answer);
        self.was_given = given.is_some();
        self.cookie = given.or(self.cookie.take());
    }
}

fn seat_in(answer: &Answer) -> u32 {
    let seat = answer.body.split("Server: ").nth(1).unwrap();
    seat.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// The cookie of ours in an answer.
fn cookie_in(answer: &Answer) -> Option<String> {
    let cookie = answer.header("set-cookie")?.split(';').next()?;
    cookie.starts_with("seat=").then(|| cookie.to_owned())
}

/// All of them at once.
fn visit(address: SocketAddr, visitors: &mut [Visitor]) {
    let share = visitors.len().div_ceil(THREADS);
    std::thread::scope(|scope| {
        for part in visitors.chunks_mut(share) {
            scope.spawn(move || {
                let mut talk = Talk::to(address);
                part.iter_mut().for_each(|visitor| visitor.visit(&mut talk));
            });
        }
    });
}

fn seats(visitors: &[Visitor]) -> Vec<u32> {
    visitors.iter().map(|visitor| visitor.seat).collect()
}

fn all_are_ready(balancer: &Balancer, count: u64) {
    eventually("all of them take traffic", || {
        let service = balancer.service();
        service["ready"] == count && service["desired"] == count
    });
}

/// How many sessions had this outcome.
fn counted(balancer: &Balancer, outcome: &str) -> u64 {
    let labels = format!("service=\"web\",policy=\"sticky\",outcome=\"{outcome}\"");
    balancer.figure(&format!("evenkeel_policies_total{{{labels}}}"))
}

fn run(balancer: &Balancer, arguments: &[&str]) {
    let output = balancer.command(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[test]
fn a_thousand_visitors_stay_through_a_death_a_rollout_and_a_scale_up_and_move_once_when_their_seat_goes() {
    let balancer = Rig::new().config(&config("hello")).up();
    let mut visitors = vec![Visitor::default(); VISITORS];
    visit(balancer.address, &mut visitors);
    let first = seats(&visitors);
    let mut by_seat = BTreeMap::<u32, usize>::new();
    first.iter().for_each(|seat| *by_seat.entry(*seat).or_default() += 1);
    assert!(by_seat.values().all(|count| *count > VISITORS / 5) && by_seat.len() == 3, "{by_seat:?}");
    assert!(visitors.iter().all(|visitor| visitor.was_given), "each got a cookie of its own");
    let cookies: BTreeSet<_> = visitors.iter().map(|visitor| visitor.cookie.clone()).collect();
    assert_eq!(cookies.len(), VISITORS, "no two are alike");

    let check = |what: &str, visitors: &mut Vec<Visitor>| {
        visit(balancer.address, visitors);
        assert_eq!(seats(visitors), first, "{what}");
        assert!(visitors.iter().all(|visitor| !visitor.was_given), "{what}");
    };
    check("the second request", &mut visitors);

    let killed = balancer.replicas()[0].clone();
    kill("-9", balancer.pid_of(&killed));
    visit(balancer.address, &mut visitors);
    assert!(visitors.iter().all(|visitor| !visitor.was_given), "they are to come back");
    let is_replaced = || balancer.replicas().iter().all(|one| one["name"] != killed["name"]);
    eventually("the dead one is replaced", is_replaced);
    all_are_ready(&balancer, 3);
    check("the dead one's successor has its seat", &mut visitors);

    balancer.rewrite_config(&config("good morning"));
    std::thread::scope(|scope| {
        let rollout = scope.spawn(|| run(&balancer, &["deploy"]));
        while !rollout.is_finished() {
            visit(balancer.address, &mut visitors);
            assert!(visitors.iter().all(|visitor| !visitor.was_given), "while it is rolled out");
        }
        rollout.join().unwrap();
    });
    all_are_ready(&balancer, 3);
    check("after a rollout", &mut visitors);

    run(&balancer, &["scale", "5"]);
    all_are_ready(&balancer, 5);
    check("after a scale-up", &mut visitors);
    let mut newcomers = vec![Visitor::default(); 200];
    visit(balancer.address, &mut newcomers);
    assert_eq!(
        seats(&newcomers).into_iter().collect::<BTreeSet<_>>().len(),
        5,
        "the new ones have some, too"
    );

    run(&balancer, &["scale", "2"]);
    all_are_ready(&balancer, 2);
    let left: Vec<u32> = balancer.replicas().iter().map(|one| one["seat"].as_u64().unwrap() as u32).collect();
    visit(balancer.address, &mut visitors);
    for (visitor, before) in visitors.iter().zip(&first) {
        assert_eq!(visitor.was_given, !left.contains(before));
        assert!(visitor.was_given || visitor.seat == *before);
    }
    let moved = visitors.iter().filter(|visitor| visitor.was_given).count() as u64;
    let second = seats(&visitors);
    visit(balancer.address, &mut visitors);
    assert_eq!(seats(&visitors), second, "and there they stay");
    assert!(visitors.iter().all(|visitor| !visitor.was_given));
    let [begun, kept, moved_in_all] = ["begun", "kept", "moved"].map(|outcome| counted(&balancer, outcome));
    assert_eq!((begun, moved_in_all), ((VISITORS + newcomers.len()) as u64, moved));
    assert!(kept >= 5 * VISITORS as u64, "{kept}");
}

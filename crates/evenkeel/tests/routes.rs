//! Services come and go while requests travel on others, and nobody notices but those who ask for them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use rig::backend::{Backend, answer};
use rig::client::{Answer, Talk, send};
use rig::eventually;
use rig::inside::{Inside, Set};

const CLIENTS: usize = 8;
const ROUNDS: usize = 20;
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// Asks for `/` again and again while something is done; how often it was answered. Each client stays on its
/// connection, so that one that is cut is noticed.
fn while_others_ask(inside: &mut Inside, work: impl FnOnce(&mut Inside)) -> usize {
    let (address, is_over, count) = (inside.address, AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut talk = Talk::to(address);
                while !is_over.load(Ordering::Relaxed) {
                    talk.say(GET);
                    let answer = talk.answer();
                    assert_eq!((answer.status, answer.body.as_str()), (200, "web"), "{answer:?}");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(inside)));
        is_over.store(true, Ordering::Relaxed);
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
    count.into_inner()
}

/// Waits until all workers answer in this way; which of them a connection meets is chance.
fn settle(what: &str, inside: &Inside, path: &str, is_so: impl Fn(&Answer) -> bool) {
    eventually(what, || (0..16).all(|_| is_so(&send(inside.address, "GET", path, ""))));
}

#[test]
fn a_service_comes_and_goes_while_requests_travel_on_another() {
    let web = Backend::saying("web");
    let shop = Backend::saying("shop");
    let mut set = Set::default();
    set.clients.requests_max = u64::MAX;
    let mut inside = Inside::new(&[web.address], set);
    let only_web = vec![inside.service.clone()];
    let only_shop = [inside.other("shop", "/shop", shop.address)];
    let both = [&only_web[..], &only_shop[..]].concat();
    let count = while_others_ask(&mut inside, |inside| {
        let mut shop_attempts = 0;
        for round in 0..ROUNDS {
            inside.routes.publish(both.clone());
            settle("the added service is served", inside, "/shop/x", |answer| answer.body == "shop");
            inside.routes.publish(only_web.clone());
            settle("the removed service is gone", inside, "/shop/x", |answer| answer.body == "web");
            let attempts = inside.totals_of("shop").attempts;
            assert!(attempts >= shop_attempts + 16, "round {round}: {attempts} after {shop_attempts}");
            shop_attempts = attempts;
        }
    });
    let totals = inside.totals();
    assert!(count > ROUNDS && totals.responses[2] >= count as u64, "{count} of {totals:?}");
    assert_eq!(totals.responses[4..], [0, 0], "{totals:?}");
    assert_eq!((totals.replays, totals.waits), (0, 0), "{totals:?}");
    // Other services came and went forty times; what was known about this one stayed.
    assert!(web.connections() <= 4 * CLIENTS, "its connections were kept: {}", web.connections());
}

#[test]
fn a_request_for_a_removed_service_is_one_for_nobody() {
    let [web, shop] = ["web", "shop"].map(Backend::saying);
    let mut inside = Inside::new(&[web.address], Set::default());
    let shops = ["/shop", "/sale"].map(|path| inside.other(path, path, shop.address));
    inside.routes.publish(shops.to_vec());
    settle("nobody has the path", &inside, "/", |answer| answer.status == 404);
    settle("another has its path", &inside, "/sale", |answer| answer.body == "shop");
    inside.routes.publish(shops[..1].to_vec());
    settle("nobody has the path of the removed service", &inside, "/sale", |answer| answer.status == 404);
    let [mut unknown, mut removed] = ["/other", "/sale"].map(|path| send(inside.address, "GET", path, ""));
    for answer in [&mut unknown, &mut removed] {
        answer.headers.retain(|(name, _)| name != "date" && name != "x-request-id");
    }
    assert_eq!(removed, unknown);
    settle("the other one is served", &inside, "/shop", |answer| answer.body == "shop");
}

#[test]
fn a_request_on_its_way_ends_well_although_its_service_is_removed() {
    let (begun, go_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (has_begun, may_go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
    let slow = Backend::start(move |request, stream| {
        if request.line.contains("/slow/held") {
            has_begun.wait();
            may_go_on.wait();
        }
        answer(stream, "200 OK", "slow")
    });
    let web = Backend::saying("web");
    let mut inside = Inside::new(&[web.address], Set::default());
    let other = inside.other("slow", "/slow", slow.address);
    inside.routes.publish(vec![inside.service.clone(), other]);
    settle("the added service is served", &inside, "/slow", |answer| answer.body == "slow");
    let mut talk = Talk::to(inside.address);
    talk.say("GET /slow/held HTTP/1.1\r\nHost: h\r\n\r\n");
    begun.wait();
    inside.routes.publish(vec![inside.service.clone()]);
    settle("the service is removed", &inside, "/slow", |answer| answer.body == "web");
    let before = inside.totals_of("slow").responses[2];
    go_on.wait();
    assert_eq!(talk.answer().body, "slow");
    eventually("it is counted", || inside.totals_of("slow").responses[2] == before + 1);
    talk.say("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(talk.answer().body, "web", "the next one on the same connection goes by the new routes");
}

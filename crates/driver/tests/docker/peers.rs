//! Several balancers at one engine, on one network, each with its own names: all have their containers, and
//! what is meant for a machine of the network goes to one of them.

use driver::{Driver, StartOrder};
use fleet::{FoundState, Life, ReplicaName, StopHow};

use crate::rig::{Rig, docker, states, succeeds};

/// Whether a replica goes by its name on the network: as alias, and as its host name.
fn goes_by_its_name(rig: &Rig, order: &StartOrder) -> bool {
    let template = "{{.Config.Hostname}} {{range .NetworkSettings.Networks}}{{.Aliases}}{{end}}";
    let names = docker(&["inspect", "-f", template, &rig.container(order)]);
    let said = names.split([' ', '[', ']']).filter(|name| *name == order.name.as_str()).count();
    assert!(said == 0 || said == 2, "{names}");
    said == 2
}

#[tokio::test]
async fn two_owners_may_have_a_replica_of_one_name_and_the_first_is_that_machine() {
    let Some(first) = Rig::up("peer-a", |_| {}).await else { return };
    let network = first.settings.network.clone();
    let Some(second) = Rig::up("peer-b", |settings| settings.network = network).await else { return };
    let order = first.order(1);
    for rig in [&first, &second] {
        let address = rig.driver.start(order.clone()).await.unwrap();
        let found = rig.driver.list().await.unwrap();
        assert_eq!(states(&found), [(order.life, FoundState::Running { address, is_frozen: false })]);
        assert_eq!(found[0].name, order.name);
        rig.driver.vet_names(&[ReplicaName::parse("web_2").unwrap()]).await.unwrap();
    }
    assert!(goes_by_its_name(&first, &order) && !goes_by_its_name(&second, &order));
    let what = second.driver.whereabouts(order.life).unwrap().what;
    assert_eq!(what, format!("container {}", second.container(&order)));

    // Once the first is gone, the next life is called so.
    first.driver.stop(order.life, StopHow::Now).await.unwrap();
    let next = StartOrder { life: Life { incarnation: 2, ..order.life }, ..order };
    second.driver.start(next.clone()).await.unwrap();
    assert!(goes_by_its_name(&second, &next));
}

#[tokio::test]
async fn what_an_earlier_version_started_under_the_replicas_name_alone_is_ours() {
    let Some(rig) = Rig::up("earlier", |_| {}).await else { return };
    // The names of an engine are those of everybody.
    let named = |seat: u32| {
        let name = ReplicaName::parse(&format!("{}-{seat}", rig.settings.owner)).unwrap();
        StartOrder { name, ..rig.order(seat) }
    };
    let (running, unanswered) = (named(1), named(2));
    let address = rig.driver.start(running.clone()).await.unwrap();
    docker(&["rename", &rig.container(&running), running.name.as_str()]);
    let id = rig.make_unanswered(&unanswered).await;
    docker(&["rename", &id, unanswered.name.as_str()]);

    let (again, _events) = rig.sibling(|_| {}).await;
    again.prepare().await.unwrap();
    let mut found = again.list().await.unwrap();
    found.sort_by_key(|one| one.life);
    assert_eq!(found.iter().map(|one| &one.name).collect::<Vec<_>>(), [&running.name, &unanswered.name]);
    assert_eq!(states(&found)[0], (running.life, FoundState::Running { address, is_frozen: false }));
    assert!(again.names_of_strangers().is_empty());
    let what = again.whereabouts(running.life).unwrap().what;
    assert_eq!(what, format!("container {}", running.name), "as it is called");

    // It stands in nobody's way, and goes like any other.
    let next = StartOrder { life: Life { incarnation: 2, ..running.life }, ..running.clone() };
    again.start(next.clone()).await.unwrap();
    assert!(succeeds(&["inspect", &rig.container(&next)]));
    for life in [running.life, unanswered.life, next.life] {
        again.stop(life, StopHow::Graceful).await.unwrap();
    }
    assert_eq!(rig.containers(), "");
}

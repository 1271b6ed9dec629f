//! What containers write, for whoever follows it.

use std::time::Duration;

use driver::{Driver, Extent, Following, Written};
use fleet::StopHow;

use crate::rig::{PATIENCE, Rig, docker, shell};

async fn next(following: &mut Following) -> Option<Written> {
    tokio::time::timeout(PATIENCE, following.next()).await.expect("something comes in time")
}

fn line(words: &str) -> Option<Written> {
    Some(Written::Line(words.into()))
}

#[tokio::test]
async fn both_streams_are_followed_line_by_line_until_the_container_ends() {
    let script = "echo one; trap 'echo two >&2; printf rest; exit 0' TERM; while :; do sleep 0.05; done";
    let Some(rig) = Rig::up("followed", |settings| settings.command = shell(script)).await else { return };
    let order = rig.order(1);
    rig.driver.start(order.clone()).await.unwrap();
    rig.has_written(&order, "one").await;
    let mut last = rig.driver.output(order.life, Extent::LastLines).unwrap();
    assert_eq!((next(&mut last).await, next(&mut last).await), (line("one"), None));
    let mut following = rig.driver.output(order.life, Extent::UntilItsEnd).unwrap();
    assert_eq!(next(&mut following).await, line("one"));
    docker(&["kill", "--signal", "TERM", &rig.container(&order)]);
    let mut rest = [next(&mut following).await, next(&mut following).await];
    // They are two streams, and come in no order.
    rest.sort_by_key(|one| *one == line("two"));
    assert_eq!(rest, [line("rest"), line("two")]);
    assert_eq!(next(&mut following).await, None);
    rig.driver.stop(order.life, StopHow::Now).await.unwrap();
    assert!(rig.driver.output(order.life, Extent::LastLines).is_none(), "it is gone");
}

#[tokio::test]
async fn one_that_writes_without_end_is_told_in_part() {
    let script = "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done";
    let change = |settings: &mut driver::DockerSettings| {
        settings.command = shell(script);
        settings.stop_timeout = Duration::from_secs(1);
    };
    let Some(rig) = Rig::up("endless", change).await else { return };
    let order = rig.order(1);
    rig.driver.start(order.clone()).await.unwrap();
    let mut following = rig.driver.output(order.life, Extent::UntilItsEnd).unwrap();
    loop {
        match next(&mut following).await {
            Some(Written::Line(words)) if words.contains("lines left out: it writes more than") => break,
            Some(Written::Line(_) | Written::LeftOut(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    drop(following);
    rig.driver.stop(order.life, StopHow::Now).await.unwrap();
}

#[tokio::test]
async fn an_output_that_the_engine_does_not_tell_is_said_to_be_broken() {
    let Some(rig) = Rig::up("untold", |_| {}).await else { return };
    let order = rig.order(1);
    rig.driver.start(order.clone()).await.unwrap();
    // Somebody takes it away behind our back.
    docker(&["rm", "-f", &rig.container(&order)]);
    let mut following = rig.driver.output(order.life, Extent::UntilItsEnd).unwrap();
    let broken = next(&mut following).await;
    assert!(
        matches!(&broken, Some(Written::Broken(why)) if why.contains("Docker does not tell what it writes")),
        "{broken:?}"
    );
    assert_eq!(next(&mut following).await, None);
}

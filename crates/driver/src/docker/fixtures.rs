//! A service and an order that the tests of this folder share.

use std::collections::BTreeMap;
use std::time::Duration;

use files::Secret;
use fleet::{Life, Release, ReplicaName};
use placement::Seat;

use super::contents::Contents;
use super::fittings::{Fittings, Pull};
use super::records::DockerRecords;
use super::settings::DockerSettings;
use crate::{ReplicaEnvironment, ServerId, StartOrder};

/// Settings that name everything that a container must have.
pub(super) fn settings() -> DockerSettings {
    DockerSettings {
        image: "shop:1".into(),
        command: Some(vec!["serve".into(), "--fast".into()]),
        port: 5000,
        network: "shop".into(),
        publish: false,
        owner: "me".into(),
        records: DockerRecords { folder: "/nowhere".into(), secret: Secret::of([1; 32]) },
        environment: ReplicaEnvironment {
            service: "web".into(),
            server_id: ServerId::Name,
            extra: BTreeMap::from([("GREETING".into(), "hello".into())]),
        },
        memory: None,
        cpus: None,
        capabilities: Vec::new(),
        new_privileges: false,
        fittings: Fittings::default(),
        contents: Contents::default(),
        pull: Pull::Never,
        stop_timeout: Duration::from_millis(1500),
        stop_signal: None,
    }
}

/// An order for seat 3.
pub(super) fn order() -> StartOrder {
    let seat = Seat::new(3).expect("it is legal");
    let name = ReplicaName::parse("web_1").expect("it is legal");
    StartOrder { life: Life { seat, incarnation: 7 }, name, release: Release::default() }
}

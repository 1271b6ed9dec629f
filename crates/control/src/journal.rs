//! The journal: what happened to replicas lately, for those who ask afterwards. It is kept in memory,
//! bounded, and shared by all services.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use api::EventShape;
use fleet::{Life, ReplicaName};
use placement::Seat;

/// How many of the latest events are kept.
const EVENTS_MAX: usize = 1000;

/// The latest events of all services; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    events: Arc<Mutex<VecDeque<EventShape>>>,
}

impl Journal {
    /// The latest events, the oldest first.
    pub fn events(&self) -> Vec<EventShape> {
        self.lock().iter().cloned().collect()
    }

    pub(crate) fn record(
        &self,
        service: &str,
        (seat, life, name): (Seat, Life, Option<&ReplicaName>),
        (event, reason): (&str, Option<String>),
    ) {
        self.push(EventShape {
            at: now(),
            service: service.to_string(),
            seat: Some(seat.number()),
            incarnation: Some(life.incarnation),
            life: Some(life.to_string()),
            replica: name.map(ToString::to_string),
            event: event.to_string(),
            reason,
            last_output: Vec::new(),
        });
    }

    /// That lives keep failing in a seat, with what the last one wrote.
    pub(crate) fn record_output(
        &self,
        service: &str,
        (life, name): (Life, &ReplicaName),
        (reason, last_output): (&str, &[String]),
    ) {
        self.push(EventShape {
            at: now(),
            service: service.to_string(),
            seat: Some(life.seat.number()),
            incarnation: Some(life.incarnation),
            life: Some(life.to_string()),
            replica: Some(name.to_string()),
            event: "crash-looping".into(),
            reason: Some(reason.to_string()),
            last_output: last_output.to_vec(),
        });
    }

    /// Something that happened to a service as a whole.
    pub(crate) fn record_of_service(&self, service: &str, event: &str, reason: Option<String>) {
        self.push(EventShape {
            at: now(),
            service: service.to_string(),
            seat: None,
            incarnation: None,
            life: None,
            replica: None,
            event: event.to_string(),
            reason,
            last_output: Vec::new(),
        });
    }

    fn push(&self, event: EventShape) {
        let mut events = self.lock();
        if events.len() == EVENTS_MAX {
            events.pop_front();
        }
        events.push_back(event);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<EventShape>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For people; nothing is ever decided by it.
fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

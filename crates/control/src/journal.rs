//! The journal: what happened to replicas lately, for those who ask afterwards. It is kept in memory,
//! bounded, and shared by all services.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use fleet::{Life, ReplicaName};

use crate::shapes::EventShape;

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
        (life, name): (Life, Option<&ReplicaName>),
        (event, reason): (&str, Option<String>),
    ) {
        let mut events = self.lock();
        if events.len() == EVENTS_MAX {
            events.pop_front();
        }
        events.push_back(EventShape {
            at: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            service: service.to_string(),
            seat: life.seat.number(),
            incarnation: life.incarnation,
            replica: name.map(ToString::to_string),
            event: event.to_string(),
            reason,
        });
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<EventShape>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

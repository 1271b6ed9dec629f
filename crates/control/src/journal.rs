//! The journal: what happened to replicas lately, for those who ask afterwards. It is kept in memory,
//! bounded, and shared by all services.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::happening::{Happening, Record, Subject};

/// How many of the latest records are kept.
const RECORDS_MAX: usize = 1000;

/// The latest happenings of all services; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    records: Arc<Mutex<VecDeque<Arc<Record>>>>,
}

impl Journal {
    /// The latest happenings, the oldest first.
    pub fn records(&self) -> Vec<Arc<Record>> {
        self.lock().iter().cloned().collect()
    }

    /// Writes down what happened to a replica of a service, or to the service as a whole.
    pub(crate) fn record(&self, service: &str, replica: Option<Subject>, happening: Happening) {
        let at = SystemTime::now();
        let mut records = self.lock();
        let number = records.back().map_or(1, |last| last.number + 1);
        let record = Arc::new(Record { number, at, service: service.into(), replica, happening });
        if records.len() == RECORDS_MAX {
            records.pop_front();
        }
        records.push_back(record);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Record>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

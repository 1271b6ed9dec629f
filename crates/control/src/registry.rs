//! The services of a balancer: which there are, in which order, and what belongs to each. Services come
//! and go while the program runs; whoever asks sees those of this moment.

use std::sync::Arc;

use tokio::sync::watch;

use crate::handle::Handle;
use crate::reconciler::Control;

/// All services, by name and in the order in which they came; clones share it. `A` is what the program
/// attaches to each.
#[derive(Debug)]
pub struct Registry<A> {
    entries: watch::Sender<Entries<A>>,
}

/// The services of one moment.
pub type Entries<A> = Arc<Vec<Entry<A>>>;

/// A service that runs.
#[derive(Debug)]
pub struct Entry<A> {
    /// Its handle, table, and line for suspicions.
    pub control: Control,
    /// What the program keeps with it.
    pub attached: Arc<A>,
    /// Whether requests are routed to it.
    pub is_open: bool,
}

/// There is a service of that name already.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is a service '{0}' already")]
pub struct ServiceTaken(pub String);

impl<A> Default for Registry<A> {
    fn default() -> Self {
        Self { entries: watch::Sender::new(Entries::default()) }
    }
}

impl<A> Clone for Registry<A> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone() }
    }
}

impl<A> Clone for Entry<A> {
    fn clone(&self) -> Self {
        Self { control: self.control.clone(), attached: Arc::clone(&self.attached), is_open: self.is_open }
    }
}

impl<A> Entry<A> {
    /// The service's name.
    pub fn name(&self) -> &str {
        self.control.handle.service()
    }
}

impl<A> Registry<A> {
    /// The services of this moment.
    pub fn entries(&self) -> Entries<A> {
        Arc::clone(&self.entries.borrow())
    }

    /// The service of that name.
    pub fn find(&self, name: &str) -> Option<Entry<A>> {
        self.entries.borrow().iter().find(|entry| entry.name() == name).cloned()
    }

    /// The handles of all services.
    pub fn handles(&self) -> Vec<Handle> {
        self.entries.borrow().iter().map(|entry| entry.control.handle.clone()).collect()
    }

    /// Sees each change: a service that came, opened, closed or went.
    pub fn watch(&self) -> watch::Receiver<Entries<A>> {
        self.entries.subscribe()
    }

    /// Takes in a service that has been started, behind the others. No request is routed to it yet.
    pub fn insert(&self, control: Control, attached: A) -> Result<(), ServiceTaken> {
        let name = control.handle.service().to_string();
        let entry = Entry { control, attached: Arc::new(attached), is_open: false };
        let is_new = self.change(|entries| {
            let is_new = entries.iter().all(|other| other.name() != name);
            if is_new {
                entries.push(entry);
            }
            is_new
        });
        if is_new { Ok(()) } else { Err(ServiceTaken(name)) }
    }

    /// Says that requests are to be routed to a service from now on.
    pub fn open(&self, name: &str) {
        self.set_open(name, true);
    }

    /// Says that no more requests are to be routed to a service.
    pub fn close(&self, name: &str) {
        self.set_open(name, false);
    }

    /// Lets go of a service. Its control ends when nobody holds its handle any more; that its fleet has
    /// retired before is the caller's affair.
    pub fn remove(&self, name: &str) {
        self.change(|entries| {
            let before = entries.len();
            entries.retain(|entry| entry.name() != name);
            entries.len() < before
        });
    }

    fn set_open(&self, name: &str, is_open: bool) {
        self.change(|entries| {
            let entry = entries.iter_mut().find(|entry| entry.name() == name && entry.is_open != is_open);
            entry.map(|entry| entry.is_open = is_open).is_some()
        });
    }

    /// Puts another list in the place of the present one, unless nothing has changed. Says whether it has.
    fn change(&self, change: impl FnOnce(&mut Vec<Entry<A>>) -> bool) -> bool {
        self.entries.send_if_modified(|current| {
            let mut entries = current.to_vec();
            let has_changed = change(&mut entries);
            if has_changed {
                *current = Arc::new(entries);
            }
            has_changed
        })
    }
}

//! Those who compare passwords: a few threads beside the workers, which give way to these, and the line before them.
//! A comparison is made to be expensive, so however many strangers ask, no more of them go on at a time than there
//! are threads, and no more wait than the line has room for, of one client only a few. Who asks for the same as
//! somebody in the line shares that one's place.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::{Builder, available_parallelism};

use event_listener::Event;

use super::credentials::Credentials;
use super::passwords::{Edition, Finding};
use super::remembered::Fingerprint;
use crate::clients::origin::Household;

/// Half of the processors, and no more than these: each may need as much memory as a hash asks for.
const THREADS_MAX: usize = 4;
/// How many comparisons may be waited for in all, and by one client.
const LINE_MAX: usize = 256;
const LINE_OF_CLIENT_MAX: usize = 8;
/// How far the workers go before them.
const NICENESS: i32 = 10;

/// The threads, once somebody has asked, and who is in line.
#[derive(Default)]
pub(crate) struct Porters {
    line: OnceLock<Option<SyncSender<Job>>>,
    asked: Arc<Mutex<AskedFor>>,
}

/// What is in line or under way.
#[derive(Default)]
struct AskedFor {
    tickets: HashMap<Fingerprint, Weak<Ticket>>,
    by_client: HashMap<Household, usize>,
}

/// What is asked.
pub(crate) struct Question {
    pub(super) edition: Arc<Edition>,
    pub(super) credentials: Credentials,
    pub(super) fingerprint: Fingerprint,
}

/// Why somebody does not even get into line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crowd {
    /// It has too many there already.
    OfClient,
    /// All together have.
    OfAll,
}

/// What somebody waits with.
pub(crate) struct Ticket {
    finding: OnceLock<Finding>,
    found: Event,
}

struct Job {
    question: Question,
    /// Gone when nobody waits any more.
    ticket: Weak<Ticket>,
    /// Held until it is out of the line: who asks and leaves at once would else have no end of places.
    _place: Place,
}

/// A client's place in the line.
struct Place {
    client: Household,
    asked: Arc<Mutex<AskedFor>>,
}

impl Porters {
    /// Gets into line, for a client.
    pub(super) fn ask(&self, question: Question, client: Household) -> Result<Arc<Ticket>, Crowd> {
        let fingerprint = question.fingerprint;
        let (ticket, place) = {
            let mut asked = lock(&self.asked);
            if let Some(ticket) = asked.tickets.get(&fingerprint).and_then(Weak::upgrade) {
                return Ok(ticket);
            }
            let of_client = asked.by_client.entry(client).or_default();
            if *of_client >= LINE_OF_CLIENT_MAX {
                return Err(Crowd::OfClient);
            }
            *of_client += 1;
            let ticket = Arc::new(Ticket { finding: OnceLock::new(), found: Event::new() });
            asked.tickets.insert(fingerprint, Arc::downgrade(&ticket));
            (ticket, Place { client, asked: Arc::clone(&self.asked) })
        };
        let job = Job { question, ticket: Arc::downgrade(&ticket), _place: place };
        let line = self.line.get_or_init(|| self.start()).as_ref();
        if line.is_none_or(|line| line.try_send(job).is_err()) {
            lock(&self.asked).tickets.remove(&fingerprint);
            // Somebody may have come to share it.
            ticket.tell(Finding::Nothing);
            return Err(Crowd::OfAll);
        }
        Ok(ticket)
    }

    fn start(&self) -> Option<SyncSender<Job>> {
        let (sender, receiver) = sync_channel(LINE_MAX);
        let receiver = Arc::new(Mutex::new(receiver));
        let processors = available_parallelism().map_or(1, usize::from);
        let mut started = 0;
        for number in 0..(processors / 2).clamp(1, THREADS_MAX) {
            let (receiver, asked) = (Arc::clone(&receiver), Arc::clone(&self.asked));
            let thread = Builder::new().name(format!("passwords-{number}"));
            match thread.spawn(move || work(&receiver, &asked)) {
                Ok(_) => started += 1,
                Err(error) => tracing::error!(%error, "a thread that compares passwords cannot start"),
            }
        }
        (started > 0).then_some(sender)
    }
}

fn work(line: &Mutex<Receiver<Job>>, asked: &Mutex<AskedFor>) {
    // That it is refused is no reason to let nobody in.
    let _ = rustix::process::nice(NICENESS);
    loop {
        let next = line.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { question, ticket, _place }) = next else { return };
        let Question { edition, credentials, fingerprint } = question;
        // Who left is not waited for by anybody.
        if ticket.strong_count() > 0 {
            let examine = || edition.examine(&credentials, fingerprint);
            let finding = catch_unwind(AssertUnwindSafe(examine)).unwrap_or(Finding::Nothing);
            let ticket = ticket.upgrade();
            ticket.iter().for_each(|ticket| ticket.tell(finding.clone()));
        }
        let mut asked = lock(asked);
        if asked.tickets.get(&fingerprint).is_some_and(|known| Weak::ptr_eq(known, &ticket)) {
            asked.tickets.remove(&fingerprint);
        }
        // A place takes the lock that this holds.
        drop(asked);
    }
}

fn lock(asked: &Mutex<AskedFor>) -> MutexGuard<'_, AskedFor> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ticket {
    fn tell(&self, finding: Finding) {
        let _ = self.finding.set(finding);
        self.found.notify(usize::MAX);
    }

    /// Waits for what comes of it. Dropping it leaves the line.
    pub(crate) async fn finding(&self) -> Finding {
        loop {
            let found = self.found.listen();
            if let Some(finding) = self.finding.get() {
                return finding.clone();
            }
            found.await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut asked = lock(&self.asked);
        if let Some(count) = asked.by_client.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                asked.by_client.remove(&self.client);
            }
        }
    }
}

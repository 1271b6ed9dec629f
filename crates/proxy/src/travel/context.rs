//! What belongs to one request from its first byte to its last: where it comes from, whose time it is
//! measured by, and what will be said about it afterwards.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant, SystemTime};

use fleet::ReplicaName;
use h1::{FieldName, RequestHead, Version};

use crate::clients::origin::Origin;
use crate::respond::response::ResponseStyle;
use crate::telling::access_log::line::{Ending, Entry, HttpVersion};
use crate::wire::deadlines::Deadline;
use crate::worker::Worker;

/// The longest request id that is taken over from a client.
const REQUEST_ID_MAX: usize = 128;

/// One request on its way.
pub(crate) struct RequestContext<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) origin: &'a Origin,
    pub(crate) deadline: &'a Deadline,
    /// When it began, by the worker's own time.
    pub(crate) begun: Instant,
    /// What our own responses to it look like.
    pub(crate) style: Cell<ResponseStyle>,
    pub(crate) account: Account,
}

/// What became of a request, for the access log.
#[derive(Default)]
pub(crate) struct Account {
    pub(crate) status: Cell<u16>,
    pub(crate) bytes: Cell<u64>,
    /// Whether a response before the one that counts was passed on.
    pub(crate) has_interim: Cell<bool>,
    pub(crate) attempts: Cell<u32>,
    pub(crate) replica: RefCell<Option<ReplicaName>>,
    pub(crate) waited: Cell<Duration>,
    pub(crate) ending: Cell<Ending>,
}

impl<'a> RequestContext<'a> {
    pub(crate) fn begin(worker: &'a Worker, origin: &'a Origin, deadline: &'a Deadline) -> Self {
        Self {
            worker,
            origin,
            deadline,
            begun: deadline.now(),
            style: Cell::default(),
            account: Account::default(),
        }
    }

    /// What the request is called in every log on its way: what its client calls it, if that is harmless,
    /// or else a name of ours.
    pub(crate) fn request_id(&self, head: &RequestHead) -> Option<Vec<u8>> {
        if !self.worker.clients.has_request_ids {
            return None;
        }
        let given = head.fields().all(FieldName::XRequestId).next();
        let is_harmless =
            |id: &&[u8]| (1..=REQUEST_ID_MAX).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
        Some(given.filter(is_harmless).map_or_else(draw, <[u8]>::to_vec))
    }
}

/// How a request began: when, by clocks that others have, too, and what it is called. Only for the access
/// log.
pub(crate) struct Beginning {
    wall: SystemTime,
    steady: Instant,
    request_id: Option<Vec<u8>>,
}

impl Beginning {
    pub(crate) fn now(request_id: Option<&[u8]>) -> Self {
        let request_id = request_id.map(<[u8]>::to_vec);
        Self { wall: SystemTime::now(), steady: Instant::now(), request_id }
    }
}

impl RequestContext<'_> {
    /// Writes the line about a request that is over.
    pub(crate) fn log(&self, begun: &Beginning, head: &RequestHead, service: Option<&str>) {
        let Some(log) = &self.worker.access_log else { return };
        let mut target = Vec::new();
        head.write_origin(&mut target);
        let replica = self.account.replica.borrow();
        log.record(&Entry {
            time: begun.wall,
            client: self.origin.address,
            is_tls: self.origin.is_tls,
            method: head.method_name(),
            target: &target,
            version: match head.version() {
                Version::Http10 => HttpVersion::Http10,
                Version::Http11 => HttpVersion::Http11,
                Version::Http2 => HttpVersion::Http2,
            },
            host: head.host(),
            referer: head.fields().all_named(b"referer").next(),
            user_agent: head.fields().all_named(b"user-agent").next(),
            request_id: begun.request_id.as_deref(),
            service,
            replica: replica.as_ref().map(ReplicaName::as_str),
            attempts: self.account.attempts.get(),
            waited: self.account.waited.get(),
            status: self.account.status.get(),
            bytes_sent: self.account.bytes.get(),
            duration: begun.steady.elapsed(),
            ending: self.account.ending.get(),
        });
    }
}

/// 32 hexadecimal digits.
fn draw() -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let number = fastrand::u128(..);
    (0..32).map(|place| DIGITS[(number >> (4 * place)) as usize & 15]).collect()
}

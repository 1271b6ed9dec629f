//! What belongs to one request from its first byte to its last: where it comes from, whose time it is
//! measured by, and what will be said about it afterwards.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use fleet::ReplicaName;
use h1::{FieldName, RequestHead, ResponseHead, Version};

use crate::clients::origin::Origin;
use crate::policies::certificate::{self, CertificatePart};
use crate::policies::compression::encoded::Encoding;
use crate::policies::mark::{Mark, Marks};
use crate::policies::vouched::Vouched;
use crate::respond::failure::Failure;
use crate::respond::limit::Limit;
use crate::respond::response::{Reply, ResponseStyle};
use crate::service::Service;
use crate::settings::ListenerSettings;
use crate::telling::access_log::line::{Ending, Entry, HttpVersion};
use crate::wire::deadlines::Deadline;
use crate::worker::Worker;

/// The longest request id that is taken over from a client.
const REQUEST_ID_MAX: usize = 128;

/// One request on its way.
pub(crate) struct RequestContext<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) origin: &'a Origin,
    /// Where it came in.
    pub(crate) listener: &'a ListenerSettings,
    pub(crate) deadline: &'a Deadline,
    /// When it began, by the worker's own time.
    pub(crate) begun: Instant,
    /// What our own responses to it look like.
    pub(crate) style: Cell<ResponseStyle>,
    /// How much of its body is taken, in bytes.
    pub(crate) body_max: Cell<u64>,
    /// It is a question of ours about a request.
    is_inner: bool,
    /// Whom it is for, once that is known.
    service: OnceCell<Rc<Service>>,
    /// The canary that gets it instead.
    canary: OnceCell<Rc<Service>>,
    /// Who gets a copy of it when it is over.
    mirrors: OnceCell<Vec<Rc<Service>>>,
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
    /// The limit that it met last.
    pub(crate) limit: Cell<Option<Limit>>,
    /// What went wrong, if the answer is ours.
    pub(crate) failure: Cell<Option<Failure>>,
    /// Why a policy has answered it, if one has and there is more to say than its name.
    pub(crate) objection: RefCell<Option<Cow<'static, str>>>,
    /// What we know of who has sent it, and tell its replica.
    pub(crate) vouched: RefCell<Option<Box<Vouched>>>,
    /// What policies did with it.
    marks: Marks,
    pub(crate) ending: Cell<Ending>,
}

impl<'a> RequestContext<'a> {
    pub(crate) fn begin(
        worker: &'a Worker,
        origin: &'a Origin,
        listener: &'a ListenerSettings,
        deadline: &'a Deadline,
    ) -> Self {
        Self {
            worker,
            origin,
            listener,
            deadline,
            begun: deadline.now(),
            style: Cell::default(),
            body_max: Cell::new(u64::MAX),
            is_inner: false,
            service: OnceCell::new(),
            canary: OnceCell::new(),
            mirrors: OnceCell::new(),
            account: Account::default(),
        }
    }

    /// A question to a service about this request, in its name.
    pub(crate) fn about(&self, service: Rc<Service>) -> RequestContext<'a> {
        let Self { worker, origin, listener, deadline, .. } = self;
        let question =
            RequestContext { is_inner: true, ..RequestContext::begin(worker, origin, listener, deadline) };
        question.set_service(service);
        question
    }

    /// Says whom it is for, once and for all.
    pub(crate) fn set_service(&self, service: Rc<Service>) {
        let _ = self.service.set(service);
    }

    /// Says who gets it instead, once and for all.
    pub(crate) fn divert(&self, canary: Rc<Service>) {
        let _ = self.canary.set(canary);
    }

    /// Draws lots which of these get a copy of it when it is over, once and for all.
    pub(crate) fn set_mirrors(&self, mut mirrors: Vec<Rc<Service>>) {
        mirrors.retain(|service| {
            service.settings.policies.mirror.as_ref().is_some_and(|mirror| mirror.is_meant(fastrand::f64()))
        });
        let _ = self.mirrors.set(mirrors);
    }

    /// Who gets a copy of it.
    pub(crate) fn mirrors(&self) -> &[Rc<Service>] {
        self.mirrors.get().map(Vec::as_slice).unwrap_or_default()
    }

    /// Who gets it, if that is known.
    pub(crate) fn service(&self) -> Option<&Service> {
        self.canary.get().or(self.service.get()).map(|service| &**service)
    }

    /// Notes what a policy did with it, once for each mark.
    pub(crate) fn mark(&self, mark: Mark) {
        if self.account.marks.add(mark) {
            match self.service() {
                Some(service) => service.counters.count_mark(mark),
                None => self.worker.policies.count(mark),
            }
        }
    }

    /// Edits the head of a response that is about to be sent, whoever it comes from, as policies would have it:
    /// those of the service first.
    pub(crate) fn edit_response(&self, head: &mut ResponseHead) {
        // What comes of a question goes to nobody as it is.
        if self.is_inner {
            return;
        }
        let of_service =
            self.service().and_then(|service| service.settings.policies.response_headers.as_ref());
        for edits in of_service.into_iter().chain(&self.listener.response_headers) {
            edits.edit(head);
            self.mark(Mark::ResponseEdited);
        }
    }

    /// Has a page stand for an answer of ours, if there is one for its status: of the service, or else of the listener.
    pub(crate) fn put_page(&self, reply: &mut Reply) {
        let of_service = self.service().and_then(|service| service.settings.error_pages.as_ref());
        let mut pages = of_service.into_iter().chain(&self.listener.error_pages);
        if let Some(page) = pages.find_map(|pages| pages.of(reply.head.status())) {
            reply.body = page.take_place_in(&mut reply.head);
            self.mark(Mark::ErrorPage);
        }
    }

    /// How the body of a response becomes smaller on its way, if it does. Its head says so then.
    pub(crate) fn compress(&self, asked: &RequestHead, response: &mut ResponseHead) -> Option<Encoding> {
        let settings = self.service()?.settings.policies.compression.as_ref()?;
        if self.worker.memory.is_short() {
            return None;
        }
        let encoding = settings.begin(asked, response, &self.worker.compressing)?;
        self.mark(Mark::Compressed);
        Some(encoding)
    }

    /// Has replicas told of its client's certificate.
    pub(crate) fn tell_certificate(&self, parts: &[CertificatePart]) {
        let mut vouched = self.account.vouched.borrow_mut();
        certificate::tell(parts, self.origin.certificate.as_deref(), vouched.get_or_insert_default());
    }

    /// Who has sent it, behind all proxies that are trusted.
    pub(crate) fn client(&self, head: &RequestHead) -> IpAddr {
        self.origin.client(head, &self.worker.clients.trusted_proxies)
    }

    /// Whether it came over TLS to us, or to a proxy in front that is trusted.
    pub(crate) fn is_secure(&self, head: &RequestHead) -> bool {
        let scheme = head.fields().all(FieldName::XForwardedProto).last();
        let is_https = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https"));
        self.origin.is_tls || self.origin.is_trusted && is_https
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

/// What a client asked for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) head: &'a RequestHead,
    /// Its target, if the head has another form of it by now.
    pub(crate) target: Option<&'a [u8]>,
}

impl RequestContext<'_> {
    /// Writes the line about a request that is over.
    pub(crate) fn log(&self, begun: &Beginning, asked: Asked<'_>) {
        let Some(log) = &self.worker.access_log else { return };
        let head = asked.head;
        let mut written = Vec::new();
        let target = asked.target.unwrap_or_else(|| {
            head.write_origin(&mut written);
            &written
        });
        let replica = self.account.replica.borrow();
        let failure = self.account.failure.get().map(|failure| Cow::Owned(failure.text()));
        let failure = failure.or_else(|| self.account.objection.borrow().clone());
        let policy = self.account.marks.text();
        let vouched = self.account.vouched.borrow();
        log.record(&Entry {
            time: begun.wall,
            client: self.client(head),
            peer: self.origin.address,
            is_tls: self.origin.is_tls,
            certificate: self.origin.certificate.as_deref(),
            user: vouched.as_ref().and_then(|vouched| vouched.user.as_deref()),
            method: head.method_name(),
            target,
            version: match head.version() {
                Version::Http10 => HttpVersion::Http10,
                Version::Http11 => HttpVersion::Http11,
                Version::Http2 => HttpVersion::Http2,
            },
            host: head.host(),
            referer: head.fields().all_named(b"referer").next(),
            user_agent: head.fields().all_named(b"user-agent").next(),
            request_id: begun.request_id.as_deref(),
            service: self.service().map(|service| service.settings.name.as_str()),
            replica: replica.as_ref().map(ReplicaName::as_str),
            attempts: self.account.attempts.get(),
            waited: self.account.waited.get(),
            limit: self.account.limit.get().map(Limit::name),
            policy: policy.as_deref(),
            failure: failure.as_deref(),
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

//! Heartbeats: the regular question "are you well?", asked from a thread that does nothing else,
//! so that neither requests nor edits can delay it.

mod http2;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use driver::EventSender;
use fleet::{Address, Event, Life, Pulse};
use http_body_util::Empty;
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How often a replica is asked that has not answered well yet, and for how long so often.
const BOOT_EVERY_FOR: Duration = Duration::from_secs(30);
const BOOT_EVERY: Duration = Duration::from_millis(10);

/// What a replica behind a Unix socket is called, which has no host and no port.
const HOST_OF_SOCKETS: &str = "localhost";

/// How a service's replicas are asked.
#[derive(Clone, Debug)]
pub struct HeartbeatSettings {
    /// The path to ask for; any 2xx is a good answer.
    pub path: String,
    /// What replicas speak.
    pub protocol: HeartbeatProtocol,
    /// Time from one question to the next.
    pub every: Duration,
    /// Time for an answer.
    pub timeout: Duration,
}

/// What replicas speak when they are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeartbeatProtocol {
    /// HTTP/1.1
    #[default]
    Http1,
    /// HTTP/2 without TLS. With the path `/grpc.health.v1.Health/Check` the question is gRPC's own, and
    /// `SERVING` the good answer.
    H2c,
}

/// Whom to ask, as a reconciler sees it now.
pub(crate) type Targets = BTreeMap<Life, Address>;

/// The heartbeat thread. It ends when this is dropped.
#[derive(Debug)]
pub struct Heartbeats {
    runtime: tokio::runtime::Handle,
    _ends_on_drop: watch::Sender<()>,
}

/// A reconciler's line to the heartbeat thread.
#[derive(Debug)]
pub(crate) struct HeartbeatLine {
    targets: watch::Sender<Arc<Targets>>,
    pokes: watch::Sender<Vec<Life>>,
}

impl Heartbeats {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (ends_on_drop, mut end) = watch::channel(());
        let run = move || runtime.block_on(async move { while end.changed().await.is_ok() {} });
        std::thread::Builder::new().name("heartbeats".into()).spawn(run)?;
        Ok(Self { runtime: handle, _ends_on_drop: ends_on_drop })
    }

    /// Watches the replicas of one service, and reports each answer to its reconciler.
    pub(crate) fn watch(&self, settings: HeartbeatSettings, events: EventSender) -> HeartbeatLine {
        let (targets, targets_seen) = watch::channel(Arc::new(Targets::new()));
        let (pokes, pokes_seen) = watch::channel(Vec::new());
        let ward = Ward { settings: Arc::new(settings), events, patients: BTreeMap::new() };
        self.runtime.spawn(ward.run(targets_seen, pokes_seen));
        HeartbeatLine { targets, pokes }
    }
}

impl HeartbeatLine {
    /// These are to be asked from now on, and nobody else.
    pub(crate) fn set_targets(&self, targets: Targets) {
        self.targets.send_if_modified(|current| {
            let is_new = **current != targets;
            if is_new {
                *current = Arc::new(targets);
            }
            is_new
        });
    }

    /// Asks one at once, instead of when its turn comes.
    pub(crate) fn poke(&self, life: Life) {
        // If the thread has not looked since the last poke, one of the two is lost, harmlessly.
        self.pokes.send_replace(vec![life]);
    }
}

/// The replicas of one service under watch.
struct Ward {
    settings: Arc<HeartbeatSettings>,
    events: EventSender,
    patients: BTreeMap<Life, (AbortHandle, Arc<Notify>)>,
}

impl Ward {
    async fn run(
        mut self,
        mut targets: watch::Receiver<Arc<Targets>>,
        mut pokes: watch::Receiver<Vec<Life>>,
    ) {
        loop {
            let wanted = Arc::clone(&targets.borrow_and_update());
            self.follow(&wanted);
            tokio::select! {
                changed = targets.changed() => if changed.is_err() { break },
                changed = pokes.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    for life in pokes.borrow_and_update().iter() {
                        if let Some((_, poke)) = self.patients.get(life) {
                            poke.notify_one();
                        }
                    }
                }
            }
        }
        // The reconciler is gone.
        self.follow(&Targets::new());
    }

    fn follow(&mut self, wanted: &Targets) {
        self.patients.retain(|life, (task, _)| {
            let is_wanted = wanted.contains_key(life);
            if !is_wanted {
                task.abort();
            }
            is_wanted
        });
        for (life, address) in wanted {
            self.patients.entry(*life).or_insert_with(|| {
                let poke = Arc::new(Notify::new());
                let patient = Patient {
                    life: *life,
                    address: address.clone(),
                    settings: Arc::clone(&self.settings),
                    events: self.events.clone(),
                };
                (tokio::spawn(patient.watch(Arc::clone(&poke))).abort_handle(), poke)
            });
        }
    }
}

struct Patient {
    life: Life,
    address: Address,
    settings: Arc<HeartbeatSettings>,
    events: EventSender,
}

impl Patient {
    async fn watch(self, poke: Arc<Notify>) {
        let mut is_booting = true;
        let begun = Instant::now();
        let mut due = begun;
        loop {
            // A verdict given late says more about us than about the replica: no bad one counts.
            let was_late = due.elapsed() > self.settings.timeout;
            let asked_at = Instant::now();
            let pulse = self.ask().await;
            let took_too_long = asked_at.elapsed() > self.settings.timeout * 2;
            is_booting &= pulse != Some(Pulse::Good) && begun.elapsed() < BOOT_EVERY_FOR;
            let verdict = pulse.filter(|pulse| *pulse == Pulse::Good || !(was_late || took_too_long));
            if let Some(pulse) = verdict {
                if self.events.send(Event::Beat(self.life, pulse)).await.is_err() {
                    return;
                }
            } else {
                tracing::debug!(life = %self.life, "a heartbeat round that we could not do well is discarded");
            }
            let every = if is_booting { BOOT_EVERY.min(self.settings.every) } else { self.settings.every };
            due = asked_at + every;
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = poke.notified() => due = Instant::now(),
            }
        }
    }

    /// Nothing, if it was not the replica's doing that there was no answer.
    async fn ask(&self) -> Option<Pulse> {
        match tokio::time::timeout(self.settings.timeout, self.question()).await {
            Ok(pulse) => pulse,
            Err(_) => Some(Pulse::Missed),
        }
    }

    /// A new connection each time: that it can be made is part of the answer.
    async fn question(&self) -> Option<Pulse> {
        match &self.address {
            Address::Tcp(address) => match TcpStream::connect(address).await {
                Ok(stream) => Some(self.ask_over(stream, &address.to_string()).await),
                Err(error) => without_connection(&error),
            },
            Address::Unix(path) => match UnixStream::connect(path).await {
                Ok(stream) => Some(self.ask_over(stream, HOST_OF_SOCKETS).await),
                Err(error) => without_connection(&error),
            },
        }
    }

    async fn ask_over<S>(&self, stream: S, host: &str) -> Pulse
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        if self.settings.protocol == HeartbeatProtocol::H2c {
            let is_well = http2::is_well(stream, host, &self.settings.path).await;
            return if is_well { Pulse::Good } else { Pulse::Missed };
        }
        let Ok((mut sender, connection)) = http1::handshake(TokioIo::new(stream)).await else {
            return Pulse::Missed;
        };
        let request = Request::get(&self.settings.path)
            .header(HOST, host)
            .header(CONNECTION, "close")
            .header(USER_AGENT, "evenkeel-heartbeat")
            .body(Empty::<Bytes>::new());
        let Ok(request) = request else { return Pulse::Missed };
        // The connection is driven beside the request; whatever came of it, it ends here.
        let driven = tokio::spawn(connection);
        let answer = sender.send_request(request).await;
        driven.abort();
        match answer {
            Ok(answer) if answer.status().is_success() => Pulse::Good,
            _ => Pulse::Missed,
        }
    }
}

/// What it says about a replica that no connection could be made. Nobody listens either where a
/// socket has been removed.
fn without_connection(error: &io::Error) -> Option<Pulse> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Some(Pulse::Refused),
        _ if is_our_own(error) => None,
        _ => Some(Pulse::Missed),
    }
}

/// Whether a connection failed for want of descriptors or ports of ours.
fn is_our_own(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let ours = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL].map(|errno| Some(errno.raw_os_error()));
    ours.contains(&error.raw_os_error())
}

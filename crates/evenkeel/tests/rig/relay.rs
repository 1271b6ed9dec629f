//! Stands between a balancer and the engine: passes on what is asked, until it is told to hang, to
//! break off, to refuse, or to answer by itself.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// What the engine is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Create,
    Start,
    Stop,
    Remove,
    Inspect,
    List,
    Events,
    Other,
}

/// When an answer of the relay's own is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// In place of the deed.
    Instead,
    /// The deed is done, and its answer withheld.
    Afterwards,
}

/// What is done to calls at present.
#[derive(Clone, Debug, Default)]
struct Behaviour {
    /// Nothing is answered, nor gone on with.
    is_hung: bool,
    /// These are not answered; all others are.
    held: Option<Call>,
    /// How often what was held was forgotten for good.
    forgotten: u64,
    /// Event streams break off, and there are no new ones.
    has_no_events: bool,
    /// The next so many of these calls get this answer.
    failures: Option<Failures>,
}

#[derive(Debug)]
struct Shared {
    engine: PathBuf,
    behaviour: watch::Sender<Behaviour>,
    seen: Mutex<Vec<Call>>,
}

/// Calls that fail.
#[derive(Clone, Copy, Debug)]
pub struct Failures {
    pub call: Call,
    pub when: When,
    pub status: u16,
    /// How many are still to fail.
    pub left: usize,
}

/// Ends, and cuts everything, when dropped.
pub struct Relay {
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
    /// Whether it listens.
    open: watch::Sender<bool>,
    cuts: mpsc::UnboundedSender<()>,
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

impl Relay {
    /// In front of the engine behind this socket.
    pub fn to(engine: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shared = Arc::new(Shared {
            engine: engine.to_owned(),
            behaviour: watch::Sender::default(),
            seen: Mutex::default(),
        });
        let (open, is_open) = watch::channel(true);
        let (cuts, cut) = mpsc::unbounded_channel();
        let (socket, serving) = (folder.path().join("docker.sock"), Arc::clone(&shared));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(&socket, serving, is_open, cut));
        });
        let relay = Self { folder, shared, open, cuts };
        super::eventually("the relay listens", || relay.socket().exists());
        relay
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// What `DOCKER_HOST` is to be.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Connections are accepted and nothing more happens, in the middle of answers, too.
    pub fn hang(&self) {
        self.change(|behaviour| behaviour.is_hung = true);
    }

    /// Goes on with everything, as an engine that was stopped by a signal does.
    pub fn go_on(&self) {
        self.change(|behaviour| (behaviour.is_hung, behaviour.held) = (false, None));
    }

    /// Goes on, but never with what it was asked before.
    pub fn go_on_without_memory(&self) {
        self.change(|behaviour| {
            behaviour.forgotten += 1;
            (behaviour.is_hung, behaviour.held) = (false, None);
        });
    }

    /// Calls of this kind are not answered, and not passed on yet.
    pub fn hold(&self, call: Call) {
        self.change(|behaviour| behaviour.held = Some(call));
    }

    /// The next calls of a kind get a status of the relay's.
    pub fn fail(&self, failures: Failures) {
        self.change(|behaviour| behaviour.failures = Some(failures));
    }

    /// Whether there is, from now on, anything but breaking event streams.
    pub fn allow_events(&self, are_allowed: bool) {
        self.change(|behaviour| behaviour.has_no_events = !are_allowed);
    }

    /// Breaks every connection.
    pub fn cut(&self) {
        self.cuts.send(()).unwrap();
    }

    /// Breaks every connection and takes no more, as an engine does that has ended.
    pub fn refuse(&self) {
        self.open.send_replace(false);
        super::eventually("nobody listens", || !self.socket().exists());
    }

    pub fn listen(&self) {
        self.open.send_replace(true);
    }

    /// How many calls of this kind came.
    pub fn seen(&self, call: Call) -> usize {
        self.shared.seen.lock().unwrap().iter().filter(|seen| **seen == call).count()
    }

    fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        self.shared.behaviour.send_modify(change);
    }
}

impl Call {
    fn of(method: &Method, path: &str) -> Self {
        let words: Vec<&str> = path.trim_start_matches('/').split('/').skip(1).collect();
        match (method.as_str(), words.as_slice()) {
            ("GET", ["events"]) => Self::Events,
            ("GET", ["containers", "json"]) => Self::List,
            ("GET", ["containers", _, "json"]) => Self::Inspect,
            ("POST", ["containers", "create"]) => Self::Create,
            ("POST", ["containers", _, "start"]) => Self::Start,
            ("POST", ["containers", _, "stop"]) => Self::Stop,
            ("DELETE", ["containers", _]) => Self::Remove,
            _ => Self::Other,
        }
    }
}

/// Ends when the relay is dropped.
async fn serve(
    socket: &Path,
    shared: Arc<Shared>,
    mut is_open: watch::Receiver<bool>,
    mut cut: mpsc::UnboundedReceiver<()>,
) {
    while is_open.wait_for(|is_open| *is_open).await.is_ok() {
        let listener = UnixListener::bind(socket).unwrap();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    connections.spawn(connection(accepted.unwrap().0, Arc::clone(&shared)));
                }
                closed = is_open.wait_for(|is_open| !is_open) => match closed {
                    Ok(_) => break,
                    Err(_) => return,
                },
                cut = cut.recv() => match cut {
                    Some(()) => connections.abort_all(),
                    None => return,
                },
                Some(_) = connections.join_next() => {}
            }
        }
        std::fs::remove_file(socket).unwrap();
    }
}

async fn connection(stream: UnixStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        // An engine goes on with what it was asked, also when nobody waits for it any more.
        let passing = tokio::spawn(pass(Arc::clone(&shared), request));
        async move { passing.await.map_err(std::io::Error::other)? }
    });
    // How a connection ends is the business of whoever ended it.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn pass(shared: Arc<Shared>, request: Request<Incoming>) -> std::io::Result<Response<Body>> {
    let call = Call::of(request.method(), request.uri().path());
    shared.seen.lock().unwrap().push(call);
    // The call is taken whole before anything can happen to it.
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    shared.is_allowed(call).await?;
    if let Some(answer) = shared.answer(call, When::Instead) {
        return Ok(answer);
    }
    let stream = UnixStream::connect(&shared.engine).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    let answer = sender.send_request(Request::from_parts(head, Full::new(body))).await;
    let (head, body) = answer.map_err(std::io::Error::other)?.into_parts();
    match shared.answer(call, When::Afterwards) {
        Some(answer) => Ok(answer),
        None => Ok(Response::from_parts(head, relayed(shared, call, body))),
    }
}

/// The engine's answer, piece by piece, each only when it may go on.
fn relayed(shared: Arc<Shared>, call: Call, body: Incoming) -> Body {
    let pieces = stream::try_unfold((shared, body), move |(shared, mut body)| async move {
        let mut behaviour = shared.behaviour.subscribe();
        let piece = tokio::select! {
            piece = body.frame() => piece,
            // The stream breaks off when events do, whether or not there is one.
            _ = behaviour.wait_for(|behaviour| call == Call::Events && behaviour.has_no_events) => {
                return Err(std::io::Error::other("cut"));
            }
        };
        let Some(piece) = piece.transpose().map_err(std::io::Error::other)? else { return Ok(None) };
        shared.is_allowed(call).await?;
        Ok(Some((piece, (shared, body))))
    });
    StreamBody::new(Box::pin(pieces)).boxed_unsync()
}

impl Shared {
    /// Waits as long as the call is to hang; an error cuts it.
    async fn is_allowed(&self, call: Call) -> std::io::Result<()> {
        let mut behaviour = self.behaviour.subscribe();
        let forgotten = behaviour.borrow().forgotten;
        let is_free = |behaviour: &Behaviour| !behaviour.is_hung && behaviour.held != Some(call);
        let now = behaviour.wait_for(is_free).await.map_err(std::io::Error::other)?.clone();
        if now.forgotten != forgotten {
            std::future::pending::<Infallible>().await;
        }
        if now.has_no_events && call == Call::Events {
            return Err(std::io::Error::other("cut"));
        }
        Ok(())
    }

    fn answer(&self, call: Call, when: When) -> Option<Response<Body>> {
        let mut status = None;
        self.behaviour.send_if_modified(|behaviour| {
            if let Some(failures) = &mut behaviour.failures
                && (failures.call, failures.when) == (call, when)
                && failures.left > 0
            {
                failures.left -= 1;
                status = Some(failures.status);
            }
            false
        });
        let body = Full::new(Bytes::from_static(b"{\"message\":\"the relay says no\"}"));
        let mut answer = Response::new(body.map_err(|never| match never {}).boxed_unsync());
        *answer.status_mut() = StatusCode::from_u16(status?).unwrap();
        Some(answer)
    }
}

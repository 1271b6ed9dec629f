//! A replica that follows a script, and remembers what reached it. Heartbeats are answered apart
//! and not remembered.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::message::{Field, Framing, Head, Unread, Wire};
use super::notation::Step;

/// The path that heartbeats ask for.
pub(crate) const HEARTBEAT: &str = "/the-heartbeat";
/// Requests for this path are answered well, whatever the script says.
pub(crate) const AFTER: &str = "/after";
/// How long an idle connection is held.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A request as it reached the replica.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    pub(crate) connection: usize,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<Field>,
    pub(crate) is_whole: bool,
    /// What a strict reader could not read.
    pub(crate) fault: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    /// None is the plain answer: 200 and the request line as the body.
    script: Option<Vec<Step>>,
    is_bytewise: bool,
    reached: Vec<Arc<Mutex<Reached>>>,
    /// How many scripts are being played.
    playing: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    connections: AtomicUsize,
}

pub(crate) struct Replica {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Replica {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let replica = Self { address: listener.local_addr().unwrap(), shared: Arc::default() };
        let shared = Arc::clone(&replica.shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        replica
    }

    /// Forgets what has reached it and plays this from now on.
    pub(crate) fn begin(&self, script: Option<&[Step]>, is_bytewise: bool) {
        let mut state = self.shared.state.lock().unwrap();
        state.script = script.map(<[Step]>::to_vec);
        state.is_bytewise = is_bytewise;
        state.reached.clear();
    }

    pub(crate) fn reached(&self) -> Vec<Reached> {
        let state = self.shared.state.lock().unwrap();
        state.reached.iter().map(|reached| reached.lock().unwrap().clone()).collect()
    }

    /// Waits until every script was played to its end; false if that did not come true.
    pub(crate) fn is_settled_within(&self, limit: Duration) -> bool {
        let state = self.shared.state.lock().unwrap();
        let waited = self.shared.changed.wait_timeout_while(state, limit, |state| state.playing > 0);
        !waited.unwrap().1.timed_out()
    }
}

fn serve(stream: TcpStream, shared: &Shared) {
    let mut wire = Wire::new(stream, IDLE_MAX);
    let connection = shared.connections.fetch_add(1, Ordering::Relaxed);
    loop {
        let head = match wire.head() {
            Ok(head) => head,
            Err(Unread::Bad(fault)) => {
                let head = Head { line: Vec::new(), fields: Vec::new() };
                remember(shared, connection, head, Some(fault));
                return;
            }
            Err(Unread::End | Unread::Late) => return,
        };
        if head.target() == HEARTBEAT.as_bytes() {
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false);
            continue;
        }
        let reached = remember(shared, connection, head, None);
        let goes_on = play(shared, &mut wire, &reached);
        if !goes_on {
            wire.finish(Shutdown::Both);
            return;
        }
    }
}

fn remember(shared: &Shared, connection: usize, head: Head, fault: Option<String>) -> Arc<Mutex<Reached>> {
    let (body, trailers) = (Vec::new(), Vec::new());
    let reached = Reached { connection, head, body, trailers, is_whole: false, fault };
    let reached = Arc::new(Mutex::new(reached));
    shared.state.lock().unwrap().reached.push(Arc::clone(&reached));
    reached
}

/// Answers one request; false ends the connection.
fn play(shared: &Shared, wire: &mut Wire, reached: &Mutex<Reached>) -> bool {
    let head = reached.lock().unwrap().head.clone();
    let (script, is_bytewise) = {
        let state = shared.state.lock().unwrap();
        let script = if head.target() == AFTER.as_bytes() { None } else { state.script.clone() };
        (script, state.is_bytewise)
    };
    let script = script.unwrap_or_else(|| vec![Step::Write(plain_answer(&head))]);
    let is_body_later = script.iter().any(|step| matches!(step, Step::Early | Step::Body | Step::Read(_)));
    if !is_body_later && !read_body(wire, reached) {
        return false;
    }
    shared.state.lock().unwrap().playing += 1;
    let goes_on = script.iter().all(|step| match step {
        Step::Write(bytes) => wire.write(bytes, is_bytewise),
        Step::Body => read_body(wire, reached),
        Step::Read(count) => read_raw(wire, reached, *count),
        Step::Early => true,
        Step::Await(_) | Step::Close => false,
    });
    if !goes_on {
        wire.finish(Shutdown::Both);
    }
    shared.state.lock().unwrap().playing -= 1;
    shared.changed.notify_all();
    let is_read = script.iter().any(|step| matches!(step, Step::Body | Step::Read(_)));
    goes_on && (!is_body_later || is_read || read_body(wire, reached))
}

fn plain_answer(head: &Head) -> Vec<u8> {
    let length = head.line.len();
    let text = format!("HTTP/1.1 200 OK\r\nX-Backend: yes\r\nContent-Length: {length}\r\n\r\n");
    let is_head = head.line.starts_with(b"HEAD ");
    [text.as_bytes(), if is_head { b"" } else { head.line.as_slice() }].concat()
}

fn read_body(wire: &mut Wire, reached: &Mutex<Reached>) -> bool {
    let framing = reached.lock().unwrap().head.framing(Framing::Empty);
    let body = framing.and_then(|framing| wire.body(framing));
    let mut reached = reached.lock().unwrap();
    match body {
        Ok(body) => {
            reached.is_whole = !body.is_cut;
            (reached.body, reached.trailers) = (body.bytes, body.trailers);
        }
        Err(Unread::Bad(fault)) => reached.fault = Some(fault),
        Err(Unread::End | Unread::Late) => {}
    }
    reached.is_whole
}

fn read_raw(wire: &mut Wire, reached: &Mutex<Reached>, count: usize) -> bool {
    let mut bytes = Vec::new();
    let is_whole = wire.take(count as u64, &mut bytes).is_ok();
    let mut reached = reached.lock().unwrap();
    reached.body.extend(bytes);
    reached.is_whole = is_whole;
    is_whole
}

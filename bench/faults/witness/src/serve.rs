//! The replica itself: its listener, its connections, its mode, its end.

use std::collections::HashMap;
use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use crate::http::{self, Request};
use crate::record::Record;

const BACKLOG: i32 = 1024;
const SERVICE_TIME: Duration = Duration::from_millis(1);
const SLOW_TIME: Duration = Duration::from_millis(10);
/// How long a heartbeat is left without an answer.
const SILENCE: Duration = Duration::from_secs(30);
/// How long requests under way may take after TERM.
const END_PATIENCE: Duration = Duration::from_secs(8);
const BITE: usize = 4 * 1024 * 1024;
/// No machine shall suffer from a limit that was forgotten.
const EATEN_MAX: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Normal,
    Slow,
    Error,
    Garbage,
    Truncate,
    NoHeartbeat,
}

pub struct Replica {
    name: String,
    address: SocketAddr,
    record: Record,
    mode: Mutex<Mode>,
    listener: Mutex<Option<Socket>>,
    connections: Mutex<HashMap<u64, TcpStream>>,
    next: AtomicU64,
    /// Requests that were read and are not answered yet.
    busy: AtomicUsize,
    is_ending: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A listener with room for many who come at once.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Waits for TERM on a thread of its own, and then ends in order.
pub fn end_on_term(replica: &Arc<Replica>) -> JoinHandle<()> {
    let signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM]);
    let mut signals = signals.expect("TERM can be waited for");
    let replica = Arc::clone(replica);
    thread::spawn(move || {
        signals.forever().next();
        replica.end();
    })
}

/// Takes commands, on a thread of its own.
pub fn obey(replica: &Arc<Replica>, control: TcpListener) {
    let replica = Arc::clone(replica);
    thread::spawn(move || {
        for stream in control.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let Ok(request) = http::read(&mut reader) else { continue };
            let command = request.path.trim_start_matches("/control/").to_owned();
            let is_known = replica.obey(&command);
            let status = if is_known { "200 OK" } else { "404 Not Found" };
            let _ = (&stream).write_all(http::answer(status, "{}", true).as_bytes());
        }
    });
}

impl Replica {
    pub fn new(name: String, address: SocketAddr, record: Record) -> Arc<Self> {
        Arc::new(Self {
            name,
            address,
            record,
            mode: Mutex::new(Mode::Normal),
            listener: Mutex::default(),
            connections: Mutex::default(),
            next: AtomicU64::new(0),
            busy: AtomicUsize::new(0),
            is_ending: AtomicBool::new(false),
        })
    }

    /// Begins to serve, on threads of its own.
    pub fn listen(self: &Arc<Self>) -> io::Result<()> {
        let listener = bind(self.address)?;
        *lock(&self.listener) = Some(Socket::from(listener.try_clone()?));
        self.record.write("LISTENING");
        let replica = Arc::clone(self);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let replica = Arc::clone(&replica);
                thread::spawn(move || replica.serve(stream));
            }
        });
        Ok(())
    }

    /// Does what a command says; false if nobody knows it.
    fn obey(self: &Arc<Self>, command: &str) -> bool {
        let mode = match command {
            "normal" => Mode::Normal,
            "slow" => Mode::Slow,
            "error" => Mode::Error,
            "garbage" => Mode::Garbage,
            "truncate" => Mode::Truncate,
            "no-heartbeat" => Mode::NoHeartbeat,
            "deaf" => return self.close_listener(),
            "refuse-all" => return self.close_listener() && self.reset(),
            "reset" => return self.reset(),
            "eat-memory" => {
                thread::spawn(eat_memory);
                return true;
            }
            _ => return false,
        };
        *lock(&self.mode) = mode;
        if mode == Mode::Normal && lock(&self.listener).is_none() {
            return self.listen().is_ok();
        }
        true
    }

    fn close_listener(&self) -> bool {
        if let Some(listener) = lock(&self.listener).take() {
            // Wakes the thread that accepts, which then drops its own.
            let _ = listener.shutdown(Shutdown::Both);
        }
        true
    }

    /// Resets every connection that there is. What is under way in them is executed, and not answered.
    fn reset(&self) -> bool {
        for (_, stream) in lock(&self.connections).drain() {
            // A close without patience is a reset. It comes with the last descriptor, which is that of
            // the thread that reads: the end of its input wakes it.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Read);
        }
        true
    }

    fn serve(&self, stream: TcpStream) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let Ok(other) = stream.try_clone() else { return };
        let _ = stream.set_nodelay(true);
        lock(&self.connections).insert(number, other);
        let mut reader = BufReader::new(&stream);
        while let Ok(request) = http::read(&mut reader) {
            self.busy.fetch_add(1, Ordering::SeqCst);
            let goes_on = self.answer(&request, (number, &stream));
            self.busy.fetch_sub(1, Ordering::SeqCst);
            if !goes_on || self.is_ending.load(Ordering::SeqCst) {
                break;
            }
        }
        lock(&self.connections).remove(&number);
    }

    /// Whether the connection can be used again.
    fn answer(&self, request: &Request, (number, mut stream): (u64, &TcpStream)) -> bool {
        let mode = *lock(&self.mode);
        let closes = request.closes || self.is_ending.load(Ordering::SeqCst);
        if request.path == "/heartbeat" {
            if mode == Mode::NoHeartbeat {
                sleep(SILENCE);
            }
            let body = http::answer("200 OK", "{}", closes);
            return stream.write_all(body.as_bytes()).is_ok() && !closes;
        }
        self.record.write(&format!("B {} {}", request.id, request.method));
        sleep(if mode == Mode::Slow { SLOW_TIME } else { SERVICE_TIME });
        let body = format!("{{\"replica\":\"{}\",\"id\":\"{}\"}}", self.name, request.id);
        if mode == Mode::Error {
            let answer = http::answer("500 Internal Server Error", "{}", closes);
            return stream.write_all(answer.as_bytes()).is_ok() && !closes;
        }
        self.record.write(&format!("D {} {}", request.id, request.method));
        if !lock(&self.connections).contains_key(&number) {
            return false;
        }
        let whole = http::answer("200 OK", &body, closes);
        match mode {
            Mode::Garbage => stream.write_all(b"\x00\x01 no protocol of this world\r\n\r\n").is_err(),
            Mode::Truncate => stream.write_all(&whole.as_bytes()[..whole.len() - body.len() / 2]).is_err(),
            _ => stream.write_all(whole.as_bytes()).is_ok() && !closes,
        }
    }

    /// Takes no more, finishes what it has, and is gone.
    fn end(&self) {
        self.record.write("TERM");
        self.is_ending.store(true, Ordering::SeqCst);
        self.close_listener();
        let begun = Instant::now();
        for stream in lock(&self.connections).values() {
            // Those that wait for a request see the end of it; those that answer one still can.
            let _ = stream.shutdown(Shutdown::Read);
        }
        while self.busy.load(Ordering::SeqCst) > 0 && begun.elapsed() < END_PATIENCE {
            sleep(Duration::from_millis(1));
        }
        self.record.write("END");
        std::process::exit(0);
    }
}

/// Until whoever limits us says stop.
fn eat_memory() {
    let mut eaten = Vec::new();
    for number in 0..EATEN_MAX {
        // Written to, because memory that was only asked for costs nothing.
        eaten.push(vec![number as u8 | 1; BITE]);
        sleep(Duration::from_millis(1));
    }
    sleep(Duration::from_secs(600));
}

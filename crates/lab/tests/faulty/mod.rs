//! A server that does wrong on purpose, and knows what it did.

#![allow(unreachable_pub, reason = "the test file next to it uses it")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What is done with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    Answer,
    AnswerInChunks,
    AnswerAndClose,
    AnswerTwice,
    AnswerStatus503,
    AnswerWrongBody,
    AnswerNonsense,
    /// An answer with the id of another request.
    AnswerAnother,
    CutBody,
    Close,
    Reset,
    /// No answer, but the connection stays.
    KeepSilent,
    /// From now on nobody is answered for so long.
    Stall(Duration),
}

#[derive(Default)]
struct Book {
    did: BTreeMap<Act, u64>,
    names: BTreeMap<String, u64>,
    stall: Option<(Instant, Instant)>,
}

pub struct Server {
    pub address: SocketAddr,
    book: Arc<Mutex<Book>>,
}

impl Server {
    /// Does with each request what this says about its number.
    pub fn start(act: impl Fn(u64) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let book = Arc::<Mutex<Book>>::default();
        let (shared, act) = (Arc::clone(&book), Arc::new(act));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (book, act) = (Arc::clone(&shared), Arc::clone(&act));
                std::thread::spawn(move || serve(stream, &book, act.as_ref()));
            }
        });
        Self { address, book }
    }

    pub fn did(&self) -> BTreeMap<Act, u64> {
        self.book.lock().unwrap().did.clone()
    }

    /// How many right answers were given in which name.
    pub fn names(&self) -> BTreeMap<String, u64> {
        self.book.lock().unwrap().names.clone()
    }

    pub fn stall(&self) -> Option<(Instant, Instant)> {
        self.book.lock().unwrap().stall
    }
}

fn serve(mut stream: TcpStream, book: &Mutex<Book>, act: &dyn Fn(u64) -> Act) {
    stream.set_nodelay(true).unwrap();
    let mut bytes = Vec::new();
    while let Some(head) = next_head(&mut stream, &mut bytes) {
        let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
        let index: u64 = id.rsplit('-').next().unwrap().parse().unwrap();
        let act = act(index);
        let stays = perform(&mut stream, book, act, &Asked { id, index });
        if !stays {
            return;
        }
    }
}

fn next_head(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = bytes.drain(..end + 4).collect();
            return Some(String::from_utf8(head).unwrap());
        }
        let mut read = [0; 4096];
        let count = stream.read(&mut read).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&read[..count]);
    }
}

/// A request: its id, and how many came before it.
struct Asked<'a> {
    id: &'a str,
    index: u64,
}

/// Says whether the connection stays.
fn perform(stream: &mut TcpStream, book: &Mutex<Book>, act: Act, asked: &Asked<'_>) -> bool {
    let stall_end = note(book, act);
    std::thread::sleep(stall_end.saturating_duration_since(Instant::now()));
    let Asked { id, index } = *asked;
    let name = format!("server_{}", index % 3);
    let body = format!("{{\"message\":\"Hello from Server: {name}\",\"status\":\"successful\"}}");
    let good = |id: &str| {
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nx-request-id: {id}\r\n\r\n{body}")
    };
    let text = match act {
        Act::Answer | Act::Stall(_) => good(id),
        Act::AnswerInChunks => {
            let (first, second) = body.split_at(20);
            let rest = second.len();
            format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n14\r\n{first}\r\n{rest:x}\r\n{second}\r\n0\r\n\r\n"
            )
        }
        Act::AnswerAndClose => format!("HTTP/1.1 200 OK\r\n\r\n{body}"),
        Act::AnswerTwice => good(id).repeat(2),
        Act::AnswerStatus503 => good(id).replace("200 OK", "503 No"),
        Act::AnswerWrongBody => good(id).replace("successful", "unfinished"),
        Act::AnswerNonsense => "hello, I do not speak HTTP\r\n\r\n".into(),
        Act::AnswerAnother => good("lab-00000000-0"),
        Act::CutBody => good(id).split_at(100).0.into(),
        Act::Close | Act::Reset | Act::KeepSilent => String::new(),
    };
    let is_good = matches!(
        act,
        Act::Answer | Act::Stall(_) | Act::AnswerInChunks | Act::AnswerAndClose | Act::AnswerTwice
    );
    if is_good {
        *book.lock().unwrap().names.entry(name).or_default() += 1;
    }
    if act == Act::Reset {
        socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    // A client that has left is the client's business.
    let _ = stream.write_all(text.as_bytes());
    !matches!(act, Act::Close | Act::Reset | Act::CutBody | Act::AnswerAndClose | Act::AnswerNonsense)
}

/// Writes down what is done, and returns until when nobody is answered.
fn note(book: &Mutex<Book>, act: Act) -> Instant {
    let now = Instant::now();
    let mut book = book.lock().unwrap();
    *book.did.entry(act).or_default() += 1;
    if let Act::Stall(length) = act {
        book.stall = Some((now, now + length));
    }
    book.stall.map_or(now, |(_, end)| end)
}

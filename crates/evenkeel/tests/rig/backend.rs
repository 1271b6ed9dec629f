//! A backend of the test's own, for what no well-behaved replica does: it says what it got, holds
//! on, breaks off, or is not there at all.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A request as it reached the backend.
#[derive(Clone, Debug)]
pub struct Received {
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// What the backend does with a head that is not a heartbeat's, and what it has got so far; false ends the
/// connection.
type Behaviour = dyn Fn(Received, &mut BufReader<TcpStream>, &Mutex<Vec<Received>>) -> bool + Send + Sync;

pub struct Backend {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
}

impl Backend {
    /// Behaves like this with each request that has come whole; false ends the connection.
    pub fn start(behave: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").unwrap(), behave)
    }

    /// The same, on a listener that is there.
    pub fn start_on(
        listener: TcpListener,
        behave: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::serving(listener, move |mut request, reader, received| {
            let Some(body) = read_body(&request, reader) else { return false };
            request.body = body;
            received.lock().unwrap().push(request.clone());
            behave(&request, reader.get_mut())
        })
    }

    /// Behaves like this with each head; what comes behind it is to be read by the behaviour.
    pub fn at_heads(
        behave: impl Fn(&Received, &mut BufReader<TcpStream>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::serving(TcpListener::bind("127.0.0.1:0").unwrap(), move |request, reader, received| {
            received.lock().unwrap().push(request.clone());
            behave(&request, reader)
        })
    }

    fn serving(
        listener: TcpListener,
        behave: impl Fn(Received, &mut BufReader<TcpStream>, &Mutex<Vec<Received>>) -> bool
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let backend = Self {
            address: listener.local_addr().unwrap(),
            received: Arc::default(),
            connections: Arc::default(),
        };
        let (received, connections) = (Arc::clone(&backend.received), Arc::clone(&backend.connections));
        let behave: Arc<Behaviour> = Arc::new(behave);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (received, behave) = (Arc::clone(&received), Arc::clone(&behave));
                let connections = Arc::clone(&connections);
                std::thread::spawn(move || serve(stream, &received, &connections, &*behave));
            }
        });
        backend
    }

    /// Answers every request with 200 and these bytes.
    pub fn saying(body: &'static str) -> Self {
        Self::start(move |_, stream| answer(stream, "200 OK", body))
    }

    /// All requests so far but heartbeats.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Connections that carried anything but heartbeats.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

pub fn answer(stream: &mut TcpStream, status: &str, body: &str) -> bool {
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).is_ok()
}

fn serve(stream: TcpStream, received: &Mutex<Vec<Received>>, connections: &AtomicUsize, behave: &Behaviour) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    let mut is_counted = false;
    while let Some(request) = read_head(&mut reader) {
        let goes_on = if request.line.starts_with("GET /heartbeat ") {
            answer(reader.get_mut(), "200 OK", "")
        } else {
            if !std::mem::replace(&mut is_counted, true) {
                connections.fetch_add(1, Ordering::Relaxed);
            }
            behave(request, &mut reader, received)
        };
        if !goes_on {
            let _ = reader.get_ref().shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

fn read_head(reader: &mut BufReader<TcpStream>) -> Option<Received> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_string()),
        }
    }
    let headers = lines.get(1..)?.iter().filter_map(|line| line.split_once(": "));
    let headers: Vec<_> = headers.map(|(name, value)| (name.to_lowercase(), value.to_string())).collect();
    Some(Received { line: lines.first()?.clone(), headers, body: Vec::new() })
}

/// The body behind a head, if it comes whole.
pub fn read_body(head: &Received, reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    match (head.header("content-length").first(), head.header("transfer-encoding").first()) {
        (Some(length), _) => {
            let mut body = vec![0; length.parse().ok()?];
            reader.read_exact(&mut body).ok()?;
            Some(body)
        }
        (None, Some(_)) => read_chunks(reader),
        (None, None) => Some(Vec::new()),
    }
}

fn read_chunks(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut chunk = vec![0; usize::from_str_radix(line.trim_end(), 16).ok()? + 2];
        reader.read_exact(&mut chunk).ok()?;
        if chunk.len() == 2 {
            return Some(body);
        }
        body.extend_from_slice(&chunk[..chunk.len() - 2]);
    }
}

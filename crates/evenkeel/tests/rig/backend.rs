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

/// What the backend does with a request that is not a heartbeat; false ends the connection.
pub type Behaviour = dyn Fn(&Received, &mut TcpStream) -> bool + Send + Sync;

pub struct Backend {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
}

impl Backend {
    pub fn start(behave: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
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
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    let mut is_counted = false;
    while let Some(request) = read(&mut reader) {
        let goes_on = if request.line.starts_with("GET /heartbeat ") {
            answer(&mut writer, "200 OK", "")
        } else {
            if !std::mem::replace(&mut is_counted, true) {
                connections.fetch_add(1, Ordering::Relaxed);
            }
            received.lock().unwrap().push(request.clone());
            behave(&request, &mut writer)
        };
        if !goes_on {
            let _ = writer.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Received> {
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
    let value = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let body = match (value("content-length"), value("transfer-encoding")) {
        (Some(length), _) => {
            let mut body = vec![0; length.parse().ok()?];
            reader.read_exact(&mut body).ok()?;
            body
        }
        (None, Some(_)) => read_chunks(reader)?,
        (None, None) => Vec::new(),
    };
    Some(Received { line: lines.first()?.clone(), headers, body })
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

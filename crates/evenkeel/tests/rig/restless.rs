//! Backends that grow tired of idle connections at any moment, and clients that pause as long.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// How long connections are idle at most before the backend closes them.
const IDLE_MAX: Duration = Duration::from_millis(50);

/// How often each request was done, by its path.
pub type Done = Arc<Mutex<HashMap<String, usize>>>;

/// Starts a backend on the runtime of the caller.
pub async fn backend(done: Done) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            tokio::spawn(serve(BufReader::new(stream), Arc::clone(&done)));
        }
    });
    address
}

async fn serve(mut stream: BufReader<TcpStream>, done: Done) -> Option<()> {
    // A connection that has just been opened is not idle.
    let mut patience = super::PATIENCE;
    loop {
        let mut line = String::new();
        tokio::time::timeout(patience, stream.read_line(&mut line)).await.ok()?.ok()?;
        let path = line.split(' ').nth(1)?.to_owned();
        read_rest(&mut stream).await?;
        *done.lock().unwrap().entry(path).or_default() += 1;
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.ok()?;
        patience = IDLE_MAX.mul_f64(fastrand::f64());
    }
}

/// The fields of a head and its body; what the first line says is all that anybody asks for.
async fn read_rest(stream: &mut BufReader<TcpStream>) -> Option<()> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        match line.trim_end().split_once(": ") {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?;
            }
            Some(_) => {}
        }
    }
    stream.read_exact(&mut vec![0; length]).await.ok().map(drop)
}

/// Sends so many requests over this many connections, with pauses in which backends may close theirs;
/// how many were answered with which status. An answer that is none counts as 0.
pub async fn ask(
    address: SocketAddr,
    method: &'static str,
    count: usize,
    at_a_time: usize,
) -> HashMap<u16, usize> {
    let mut lanes = tokio::task::JoinSet::new();
    for lane in 0..at_a_time {
        lanes.spawn(async move {
            let mut statuses = Vec::new();
            let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
            for number in (lane..count).step_by(at_a_time) {
                tokio::time::sleep(IDLE_MAX.mul_f64(fastrand::f64())).await;
                let body = if method == "POST" { "Content-Length: 4\r\n\r\nbody" } else { "\r\n" };
                let request = format!("{method} /{number} HTTP/1.1\r\nHost: h\r\n{body}");
                let status = exchange(&mut stream, &request).await;
                if status.is_none() {
                    stream = BufReader::new(TcpStream::connect(address).await.unwrap());
                }
                statuses.push(status.unwrap_or_default());
            }
            statuses
        });
    }
    let mut statuses = HashMap::new();
    for status in lanes.join_all().await.into_iter().flatten() {
        *statuses.entry(status).or_default() += 1;
    }
    statuses
}

async fn exchange(stream: &mut BufReader<TcpStream>, request: &str) -> Option<u16> {
    stream.get_mut().write_all(request.as_bytes()).await.ok()?;
    let mut line = String::new();
    tokio::time::timeout(super::PATIENCE, stream.read_line(&mut line)).await.ok()?.ok()?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    read_rest(stream).await?;
    Some(status)
}

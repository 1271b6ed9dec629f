//! A steady load: requests at fixed times, whatever becomes of the earlier ones, and every answer
//! counted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The most connections that the load keeps idle between requests.
const IDLE_MAX: usize = 256;

/// How long an answer may take before it counts as lost.
const ANSWER_MAX: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub sent: usize,
    /// Good answers by the replica that gave them.
    pub by_replica: BTreeMap<String, usize>,
    /// Everything else, in words.
    pub failures: Vec<String>,
    pub latencies: Vec<Duration>,
}

impl Tally {
    pub fn answered(&self) -> usize {
        self.by_replica.values().sum()
    }

    /// The latency that this share of the answers did not exceed.
    pub fn percentile(&self, share: f64) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get((last as f64 * share) as usize).copied().unwrap_or_default()
    }

    pub fn assert_nothing_lost(&self) {
        assert!(
            self.failures.is_empty(),
            "{} of {} failed: {:?}",
            self.failures.len(),
            self.sent,
            &self.failures[..self.failures.len().min(5)]
        );
        assert_eq!(self.answered(), self.sent);
    }
}

/// A load that goes on until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Tally>,
}

impl Load {
    /// `rate` requests a second for `/home`.
    pub fn start(address: SocketAddr, rate: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(address, rate, &is_stopped))
        });
        Self { stop, thread }
    }

    /// Stops sending, waits for what is under way, and tells what became of everything.
    pub fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// So many requests, so many at a time, each sent when an earlier one is answered.
pub fn run_closed(address: SocketAddr, count: usize, at_a_time: usize) -> Tally {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let idle = Idle::default();
        let lanes = (0..at_a_time).map(|_| async {
            let mut tally = Tally::default();
            for _ in 0..count / at_a_time {
                tally.sent += 1;
                let begun = Instant::now();
                let outcome = ask(address, Arc::clone(&idle)).await;
                tally.count(outcome, begun.elapsed());
            }
            tally
        });
        let mut whole = Tally::default();
        for tally in futures_util::future::join_all(lanes).await {
            whole.sent += tally.sent;
            whole.failures.extend(tally.failures);
            whole.latencies.extend(tally.latencies);
            for (replica, count) in tally.by_replica {
                *whole.by_replica.entry(replica).or_default() += count;
            }
        }
        whole
    })
}

type Idle = Arc<Mutex<Vec<SendRequest<Empty<Bytes>>>>>;

async fn run(address: SocketAddr, rate: u32, is_stopped: &AtomicBool) -> Tally {
    let idle = Idle::default();
    let begun = Instant::now();
    let mut requests = tokio::task::JoinSet::new();
    let mut tally = Tally::default();
    while !is_stopped.load(Ordering::Relaxed) {
        let due = begun + Duration::from_secs(1) * tally.sent as u32 / rate;
        tokio::time::sleep_until(due).await;
        tally.sent += 1;
        let idle = Arc::clone(&idle);
        requests.spawn(async move {
            let outcome = tokio::time::timeout(ANSWER_MAX, ask(address, idle)).await;
            // From when it was due, so that a stall of ours is not hidden.
            (outcome.unwrap_or_else(|_| Err("no answer in time".into())), due.elapsed())
        });
        while let Some(done) = requests.try_join_next() {
            let (outcome, latency) = done.unwrap();
            tally.count(outcome, latency);
        }
    }
    while let Some(done) = requests.join_next().await {
        let (outcome, latency) = done.unwrap();
        tally.count(outcome, latency);
    }
    tally
}

impl Tally {
    fn count(&mut self, outcome: Result<String, String>, latency: Duration) {
        self.latencies.push(latency);
        match outcome {
            Ok(replica) => *self.by_replica.entry(replica).or_default() += 1,
            Err(failure) => self.failures.push(failure),
        }
    }
}

/// One request; the name of the replica that answered it.
async fn ask(address: SocketAddr, idle: Idle) -> Result<String, String> {
    let kept = idle.lock().await.pop();
    let mut sender = match kept.filter(SendRequest::is_ready) {
        Some(sender) => sender,
        None => connect(address).await.map_err(|error| format!("connect: {error}"))?,
    };
    let request = Request::get("/home").header("host", "test").body(Empty::new()).unwrap();
    let answer = sender.send_request(request).await.map_err(|error| format!("send: {error}"))?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(|error| format!("body: {error}"))?.to_bytes();
    let mut idle = idle.lock().await;
    if idle.len() < IDLE_MAX {
        idle.push(sender);
    }
    let text = String::from_utf8_lossy(&body);
    let name =
        text.strip_prefix("{\"message\":\"Hello from Server: ").and_then(|rest| rest.split('"').next());
    match name {
        Some(name) if status.is_success() => Ok(name.to_string()),
        _ => Err(format!("{status}: {text}")),
    }
}

async fn connect(
    address: SocketAddr,
) -> Result<SendRequest<Empty<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

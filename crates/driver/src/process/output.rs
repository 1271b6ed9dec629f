//! What replicas write: passed on line by line with the replica's name in front, the last lines kept.
//!
//! It is read on a thread of its own, so that a replica that writes without end delays nothing but what other
//! replicas write. One that writes more than is told is read in turns, and has to wait in between.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleet::ReplicaName;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::following::Told;
use crate::lines::Lines;

/// How much is read at once.
const BLOCK_BYTES: usize = 64 << 10;

/// How long one that writes too much waits to be read again: it has some 6 MB a second then.
const PACE: Duration = Duration::from_millis(10);

/// The thread on which output is read. It ends with this.
#[derive(Debug)]
pub(super) struct OutputThread {
    runtime: Handle,
    _ends_on_drop: oneshot::Sender<()>,
}

impl OutputThread {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (ends_on_drop, end) = oneshot::channel::<()>();
        let run = move || drop(runtime.block_on(end));
        std::thread::Builder::new().name("output".to_owned()).spawn(run)?;
        Ok(Self { runtime: handle, _ends_on_drop: ends_on_drop })
    }

    /// Where something else can be read as well.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Takes a child's streams and reads them to their end.
    pub(super) fn follow(&self, child: &mut Child, name: &ReplicaName) -> Output {
        let told = Arc::<Told>::default();
        let streams = [
            child.stdout.take().map(|stream| stream.into_owned_fd()),
            child.stderr.take().map(|stream| stream.into_owned_fd()),
        ];
        let streams = streams.into_iter().flatten().flatten();
        let read = |stream| self.runtime.spawn(read_lines(stream, name.clone(), Arc::clone(&told)));
        let readers = streams.map(read).collect();
        Output { told, readers }
    }
}

/// Both streams of a child.
pub(super) struct Output {
    told: Arc<Told>,
    readers: Vec<JoinHandle<()>>,
}

impl Output {
    /// What comes of them.
    pub(super) fn told(&self) -> &Arc<Told> {
        &self.told
    }

    /// The last lines, once both streams have ended, or what there is of them after `limit`. Then nothing more
    /// is told to those who follow.
    pub(super) async fn last_within(&mut self, limit: Duration) -> Vec<String> {
        let both = futures_util::future::join_all(self.readers.drain(..));
        let _ = tokio::time::timeout(limit, both).await;
        self.told.end();
        self.told.last_lines()
    }
}

async fn read_lines(stream: OwnedFd, name: ReplicaName, told: Arc<Told>) {
    let Ok(mut stream) = pipe::Receiver::from_owned_fd(stream) else { return };
    let mut tell = |line: &str| tracing::info!(target: "replica", "{name} | {line}");
    let mut lines = Lines::new(Instant::now(), told);
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        if lines.has_left_out() {
            tokio::time::sleep(PACE).await;
        }
        let due = lines.due();
        let read = stream.read(&mut block);
        let read = if lines.has_left_out() {
            // What was left out is told in time also if nothing more comes.
            tokio::time::timeout_at(due.into(), read).await
        } else {
            Ok(read.await)
        };
        match read {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(length)) => lines.take(&block[..length], Instant::now(), &mut tell),
            Err(_) => lines.look(Instant::now(), &mut tell),
        }
    }
    lines.finish(&mut tell);
}

//! What replicas write: passed on line by line with the replica's name in front, the last lines kept.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleet::ReplicaName;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Child;
use tokio::task::JoinHandle;

use crate::last_lines::LastLines;

/// A longer line is passed on in pieces of this size.
const LINE_BYTES_MAX: u64 = 4096;

/// Follows both streams of a child.
pub(super) struct Output {
    kept: Arc<Mutex<LastLines>>,
    readers: Vec<JoinHandle<()>>,
}

impl Output {
    /// Takes the child's streams and reads them to their end.
    pub(super) fn follow(child: &mut Child, name: &ReplicaName) -> Self {
        let kept = Arc::<Mutex<LastLines>>::default();
        let mut readers = Vec::new();
        if let Some(stream) = child.stdout.take() {
            readers.push(tokio::spawn(read_lines(stream, name.clone(), Arc::clone(&kept))));
        }
        if let Some(stream) = child.stderr.take() {
            readers.push(tokio::spawn(read_lines(stream, name.clone(), Arc::clone(&kept))));
        }
        Self { kept, readers }
    }

    /// The last lines, once both streams have ended, or what there is of them after `limit`.
    pub(super) async fn last_within(&mut self, limit: Duration) -> Vec<String> {
        let both = futures_util::future::join_all(self.readers.drain(..));
        let _ = tokio::time::timeout(limit, both).await;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).to_vec()
    }
}

async fn read_lines(stream: impl AsyncRead + Unpin, name: ReplicaName, kept: Arc<Mutex<LastLines>>) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        tracing::info!(target: "replica", "{name} | {text}");
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_string());
    }
}

//! The HTTP/2 front: a client that sends any frames, to a worker that answers by itself.

use std::future::Future;
use std::net::{IpAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use fleet::{RoutingTable, routing};
use http::request::Parts;
use http::{Method, Response};
use placement::{Placement, Rendezvous};
use proxy::fuzzing::LoneWorker;
use proxy::{
    ClientSettings, ClientTimeouts, KeyRule, LocalEndpoints, PathForm, Policies, Protocol, ProxySettings,
    RequestLimits, ResponseStyle, Scope, ServiceSettings, ServiceTimeouts, SharedLimits,
};
use tokio::sync::mpsc;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Of the answer to `/long`: more than a stream's window, so that it has to be asked for.
const LONG: usize = 100_000;
/// How often the answer to `/late` is looked for in vain.
const LATE: usize = 8;
/// Whoever hangs is waited for so long that it is no accident: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a client may make the worker wait for ends soon, because the fuzzer waits as well.
const SOON: Duration = Duration::from_millis(100);

thread_local! {
    static WORKER: LoneWorker = worker();
}

/// Whatever follows the preface, in pieces of any size: the connection ends when its client has, and nothing
/// is kept of it. The first byte says how large the pieces are.
pub fn http2(data: &[u8]) {
    let Some((cut, frames)) = data.split_first() else { return };
    WORKER.with(|worker| {
        let before = settled(worker);
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        for end in [&ours, &theirs] {
            end.set_nonblocking(true).expect("a socket that does not block");
        }
        // Nothing but reading and writing is done with it, which is the same for both kinds.
        let theirs = TcpStream::from(OwnedFd::from(theirs));
        let piece = if *cut == 0 { usize::MAX } else { usize::from(*cut) };
        worker.serve(theirs, in_time(talk(ours, frames, piece))).expect("a client is served");
        assert_eq!(settled(worker), before, "something of a client was kept");
    });
}

/// What is lent out once nobody is there.
fn settled(worker: &LoneWorker) -> [usize; 6] {
    worker.settle();
    worker.ties()
}

async fn in_time(client: impl Future<Output = ()>) {
    tokio::time::timeout(PATIENCE, client).await.expect("a connection does not end");
}

/// Sends all, takes all that comes, and says when it has no more to say.
async fn talk(stream: UnixStream, frames: &[u8], piece: usize) {
    let stream = tokio::net::UnixStream::from_std(stream).expect("a runtime");
    let (mut from, mut to) = stream.into_split();
    let send = async move {
        let pieces = frames.chunks(piece);
        for bytes in std::iter::once(PREFACE).chain(pieces) {
            if tokio::io::AsyncWriteExt::write_all(&mut to, bytes).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        // Dropping it is the end of what it sends.
    };
    let take = async move {
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    };
    tokio::join!(send, take);
}

fn worker() -> LoneWorker {
    let table = RoutingTable::new(1, Placement::Rendezvous(Rendezvous::default()), &[], 0.0);
    let empty = ServiceSettings {
        name: "empty".into(),
        scope: Scope::at("/empty"),
        path_form: PathForm::default(),
        policies: Policies::default(),
        files: None,
            error_pages: None,
        key: KeyRule::Random,
        key_hash: table.key_hash(),
        sticky: None,
        style: ResponseStyle::Problem,
        protocol: Protocol::Http1,
        timeouts: ServiceTimeouts::default(),
        limits: RequestLimits::default(),
        retries: 1,
        table: routing(table).1,
        suspicions: mpsc::channel(1).0,
    };
    let timeouts =
        ClientTimeouts { head: SOON, idle: SOON, body_grace: SOON, body_rate_min: 500, write: SOON };
    let settings = ProxySettings {
        routes: proxy::routes(vec![empty]).1,
        local: Some(Arc::new(Endpoints)),
        drain_deadline: SOON,
        clients: ClientSettings { timeouts, streams_max: 16, ..ClientSettings::default() },
        access_log: None,
        limits: SharedLimits::default(),
    };
    LoneWorker::new(&settings).expect("a worker")
}

/// All but `/empty` is answered here.
#[derive(Debug)]
struct Endpoints;

impl LocalEndpoints for Endpoints {
    fn serves(&self, _: &Method, path: &str) -> bool {
        !path.starts_with("/empty")
    }

    fn style(&self) -> ResponseStyle {
        ResponseStyle::Problem
    }

    fn answer(&self, head: Parts, _: IpAddr, body: Bytes) -> proxy::LocalResponse {
        match head.uri.path() {
            "/long" => Box::pin(std::future::ready(Response::new(Bytes::from(vec![b'x'; LONG])))),
            "/late" => Box::pin(Late { looks: 0, body }),
            _ => Box::pin(std::future::ready(Response::new(body))),
        }
    }
}

/// An answer that takes some turns.
struct Late {
    looks: usize,
    body: Bytes,
}

impl Future for Late {
    type Output = Response<Bytes>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.looks == LATE {
            return Poll::Ready(Response::new(self.body.clone()));
        }
        self.looks += 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

//! What gRPC needs: HTTP/2 from end to end, message by message, with the status behind the body.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};

use super::replicas::in_front_of;
use super::speak::{Client, Replica, piece, run, whole};
use crate::rig::{PATIENCE, eventually};

fn call(path: &str) -> Request<()> {
    let request = Request::post(format!("http://h{path}"));
    request.header("te", "trailers").header("content-type", "application/grpc").body(()).unwrap()
}

fn status(code: &'static str) -> HeaderMap {
    [("grpc-status".parse().unwrap(), code.parse().unwrap())].into_iter().collect()
}

/// One message of so many bytes.
fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    Bytes::from([&[0], &length[..], text.as_bytes()].concat())
}

async fn serve(asked: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    assert_eq!(asked.headers().get("te").map(|te| te.as_bytes()), Some(&b"trailers"[..]));
    let head = Response::builder().header("content-type", "application/grpc");
    let path = asked.uri().path().to_owned();
    let mut body = asked.into_body();
    if path == "/fails" {
        let head = head.header("grpc-status", "5").header("grpc-message", "nothing there").body(()).unwrap();
        return respond.send_response(head, true).map(drop);
    }
    if path == "/slow-to-begin" {
        // Says nothing before it has heard everything.
        while piece(&mut body).await?.is_some() {}
    }
    let mut stream = respond.send_response(head.body(()).unwrap(), false)?;
    match path.as_str() {
        // One answer for each message, as it comes.
        "/chat" => {
            while let Some(bytes) = piece(&mut body).await? {
                stream.send_data(bytes, false)?;
            }
        }
        "/watch" => {
            for _ in 0..5 {
                stream.send_data(message("event"), false)?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        _ => {
            while piece(&mut body).await?.is_some() {}
            stream.send_data(message("pong"), false)?;
        }
    }
    stream.send_trailers(status("0"))
}

async fn begin(client: &mut Client, path: &str) -> (ResponseFuture, SendStream<Bytes>) {
    client.begin(call(path), false).await
}

#[test]
fn a_call_brings_one_message_and_a_status() {
    let replica = Replica::start(serve);
    let inside = in_front_of(&[replica.address]);
    run(async {
        let mut client = Client::to(inside.address).await;
        let (answer, mut stream) = begin(&mut client, "/call").await;
        stream.send_data(message("ping"), true).unwrap();
        let answer = whole(answer.await.unwrap()).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &message("pong")[..]));
        assert_eq!(answer.trailers, Some(status("0")));
        assert!(answer.header("content-length").is_none());
        let (answer, mut stream) = begin(&mut client, "/fails").await;
        stream.send_data(message("ping"), true).unwrap();
        let answer = answer.await.unwrap();
        assert!(answer.body().is_end_stream(), "the head is all there is");
        assert_eq!(answer.headers()["grpc-status"], "5");
        assert_eq!(answer.headers()["grpc-message"], "nothing there");
    });
}

#[test]
fn messages_pass_one_by_one() {
    let replica = Replica::start(serve);
    let inside = in_front_of(&[replica.address]);
    run(async {
        let mut client = Client::to(inside.address).await;
        let (answer, mut stream) = begin(&mut client, "/watch").await;
        stream.send_data(message("go"), true).unwrap();
        let mut events = answer.await.unwrap().into_body();
        for _ in 0..5 {
            assert_eq!(piece(&mut events).await.unwrap(), Some(message("event")));
        }
        assert_eq!(piece(&mut events).await.unwrap(), None);
        assert_eq!(events.trailers().await.unwrap(), Some(status("0")));
        // Both sides talk, and neither says that it has finished.
        let (answer, mut stream) = begin(&mut client, "/chat").await;
        stream.send_data(message("0"), false).unwrap();
        let mut answers = answer.await.unwrap().into_body();
        assert_eq!(piece(&mut answers).await.unwrap(), Some(message("0")));
        for round in 1..50 {
            let text = round.to_string();
            stream.send_data(message(&text), false).unwrap();
            assert_eq!(piece(&mut answers).await.unwrap(), Some(message(&text)));
        }
        stream.send_data(Bytes::new(), true).unwrap();
        assert_eq!(piece(&mut answers).await.unwrap(), None);
        assert_eq!(answers.trailers().await.unwrap(), Some(status("0")));
    });
    eventually("nobody is inside", || inside.claims() == 0);
}

#[test]
fn a_stream_of_few_messages_is_no_slow_upload() {
    let replica = Replica::start(serve);
    let inside = in_front_of(&[replica.address]);
    run(async {
        let mut client = Client::to(inside.address).await;
        let (answer, mut stream) = begin(&mut client, "/slow-to-begin").await;
        for _ in 0..7 {
            stream.send_data(message("a"), false).unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        stream.send_data(Bytes::new(), true).unwrap();
        let answer = whole(answer.await.unwrap()).await.unwrap();
        assert_eq!((answer.status, answer.trailers), (200, Some(status("0"))));
    });
}

/// Counts those that were given up.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn a_call_that_is_cancelled_ends_at_the_replica_at_once() {
    let alive = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&alive);
    let replica = Replica::start(move |asked, mut respond| {
        count.fetch_add(1, Ordering::Relaxed);
        let guard = Alive(Arc::clone(&count));
        async move {
            let mut stream = match asked.uri().path() {
                "/silent" | "/deaf" => None,
                _ => Some(respond.send_response(Response::new(()), false)?),
            };
            let reset = std::future::poll_fn(|context| match &mut stream {
                Some(stream) => stream.poll_reset(context),
                None => respond.poll_reset(context),
            });
            let reset = reset.await;
            drop((guard, asked));
            reset.map(drop)
        }
    });
    let inside = in_front_of(&[replica.address]);
    run(async {
        let mut client = Client::to(inside.address).await;
        for (path, size) in [("/silent", 1), ("/deaf", 8 << 20), ("/headed", 1), ("/headed", 8 << 20)] {
            let (answer, mut stream) = begin(&mut client, path).await;
            let sending = tokio::spawn(async move {
                let _ = super::speak::send(&mut stream, Bytes::from(vec![0; size]), false).await;
                stream
            });
            let head = if path == "/headed" {
                Some(answer.await.unwrap())
            } else {
                drop(answer);
                None
            };
            let until = |is_so: usize| {
                let alive = Arc::clone(&alive);
                async move {
                    while alive.load(Ordering::Relaxed) != is_so {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            };
            let begun = tokio::time::timeout(PATIENCE, until(1)).await;
            assert!(begun.is_ok(), "{path} {size}: it never reached the replica");
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert_eq!(inside.claims(), 1, "{path} {size}");
            drop(head);
            if size == 1 {
                sending.await.unwrap().send_reset(h2::Reason::CANCEL);
            } else {
                sending.abort();
            }
            let ended = tokio::time::timeout(Duration::from_millis(500), until(0)).await;
            assert!(ended.is_ok(), "{path} {size}: the replica still works on it");
            assert_eq!(inside.claims(), 0, "{path} {size}");
        }
    });
}

//! Large bodies, and those who do not read: what is held up, and how much memory it takes.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, Response};
use proxy::Protocol;

use super::replicas::in_front_of;
use super::speak::{Client, Replica, piece, read, request, run, say, send, whole};
use crate::rig::backend::{Backend, answer};
use crate::rig::inside::{Inside, Set};
use crate::rig::{Rig, eventually};

const SIZE: usize = 64 << 20;

/// Bytes that differ at each place, for a long while.
fn pattern() -> Bytes {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..1_000_003).map(|_| next()).collect()
}

async fn send_pattern(stream: &mut h2::SendStream<Bytes>, pattern: &Bytes) -> Result<(), h2::Error> {
    let mut left = SIZE;
    while left > 0 {
        let count = left.min(pattern.len());
        left -= count;
        send(stream, pattern.slice(..count), false).await?;
    }
    Ok(())
}

/// Whether the whole pattern comes and no more.
async fn is_pattern(stream: &mut RecvStream, pattern: &Bytes) -> bool {
    let mut count = 0;
    while let Ok(Some(mut bytes)) = piece(stream).await {
        while !bytes.is_empty() {
            let place = count % pattern.len();
            let part = bytes.split_to(bytes.len().min(pattern.len() - place));
            if part != pattern[place..place + part.len()] {
                return false;
            }
            count += part.len();
        }
    }
    count == SIZE
}

#[test]
fn bodies_of_64_mib_pass_unchanged_both_ways_at_a_time() {
    let sent = pattern();
    let expected = sent.clone();
    let replica = Replica::start(move |asked: Request<RecvStream>, mut respond: SendResponse<Bytes>| {
        let expected = expected.clone();
        async move {
            let mut stream = respond.send_response(Response::new(()), false)?;
            let reads = tokio::spawn({
                let expected = expected.clone();
                async move { is_pattern(&mut asked.into_body(), &expected).await }
            });
            send_pattern(&mut stream, &expected).await?;
            let is_whole = reads.await.unwrap();
            stream.send_data(Bytes::from_static(if is_whole { b"" } else { b"it came otherwise" }), true)
        }
    });
    let inside = in_front_of(&[replica.address]);
    run(async {
        let mut client = Client::with(
            inside.address,
            h2::client::Builder::new().initial_window_size(1 << 20).initial_connection_window_size(4 << 20),
        )
        .await;
        let (answer, mut stream) = client.begin(request("POST", "/"), false).await;
        let uploads = tokio::spawn({
            let sent = sent.clone();
            async move {
                send_pattern(&mut stream, &sent).await?;
                stream.send_data(Bytes::new(), true)
            }
        });
        assert!(is_pattern(&mut answer.await.unwrap().into_body(), &sent).await);
        uploads.await.unwrap().unwrap();
    });
    eventually("nobody is inside", || inside.claims() == 0);
}

fn resident_kib(pid: u32, field: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn large_bodies_and_clients_that_do_not_read_take_little_memory() {
    let backend = Backend::at_heads(move |head, reader| {
        if head.line.contains("/warm") {
            return answer(reader.get_mut(), "200 OK", "");
        }
        if head.line.starts_with("POST") {
            let mut piece = vec![0; 1 << 20];
            for _ in 0..SIZE >> 20 {
                reader.read_exact(&mut piece).unwrap();
            }
            return answer(reader.get_mut(), "200 OK", "");
        }
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
        reader.get_mut().write_all(text.as_bytes()).unwrap();
        (0..SIZE >> 20).all(|_| reader.get_mut().write_all(&[7; 1 << 20]).is_ok())
    });
    let config =
        format!("[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{}\"]\n", backend.address);
    let balancer = Rig::new().config(&config).up();
    eventually("it is in the table", || balancer.service()["ready"] == 1);
    run(async {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1 << 30).initial_connection_window_size(1 << 30);
        let mut client = Client::with(balancer.address, &mut builder).await;
        assert_eq!(client.get("/warm").await.status, 200);
        let before = resident_kib(balancer.pid(), "VmRSS:");
        let sized = Request::post("http://h/").header("content-length", SIZE).body(()).unwrap();
        let (answer, mut stream) = client.begin(sized, false).await;
        send(&mut stream, Bytes::from(vec![7; SIZE]), true).await.unwrap();
        assert_eq!(whole(answer.await.unwrap()).await.unwrap().status, 200);
        assert_eq!(client.get("/").await.body.len(), SIZE);
        // Streams that nobody reads, in a connection that has room for all of them at once.
        let mut small = h2::client::Builder::new();
        small.initial_window_size(64 << 10).initial_connection_window_size(1 << 30);
        let mut stalled = Client::with(balancer.address, &mut small).await;
        let mut answers = Vec::new();
        for _ in 0..60 {
            answers.push(stalled.begin(request("GET", "/"), true).await.0.await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        let growth = resident_kib(balancer.pid(), "VmHWM:").saturating_sub(before);
        println!("its most memory grew by {growth} KiB");
        assert!(growth < 24 << 10, "{growth} KiB more than before");
        assert_eq!(stalled.get("/warm").await.status, 200, "they hold up nobody else");
    });
}

/// Answers with more than fits into any window, or at once.
async fn large(asked: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    if asked.uri().path() == "/small" {
        return say(&mut respond, 200, "small");
    }
    let mut stream = respond.send_response(Response::new(()), false)?;
    send(&mut stream, Bytes::from(vec![7; 16 << 20]), true).await
}

#[test]
fn a_client_that_does_not_read_stalls_only_its_own_stream() {
    let replica = Replica::start(large);
    let mut set = Set { protocol: Protocol::H2c, ..Set::default() };
    set.clients.timeouts.write = Duration::from_secs(1);
    let inside = Inside::new(&[replica.address], set);
    run(async {
        let mut builder = h2::client::Builder::new();
        builder.initial_connection_window_size(1 << 30);
        let mut client = Client::with(inside.address, &mut builder).await;
        let mut stalled = Vec::new();
        for _ in 0..20 {
            stalled.push(client.begin(request("GET", "/large"), true).await.0.await.unwrap().into_body());
        }
        // All of them, and this one, come over the same connection from the replica.
        assert_eq!(client.get("/small").await.text(), "small");
        let other = client.get("/large").await;
        assert_eq!(other.body.len(), 16 << 20);
        // After a while they are given up, the connection is not.
        while inside.claims() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for stream in &mut stalled {
            assert!(read(stream).await.is_err(), "it looks cut off");
        }
        assert_eq!(client.get("/small").await.text(), "small");
    });
    eventually("nobody is inside", || inside.claims() == 0);
    assert_eq!(replica.connections(), 1);
}

/// A replica that says how much it has read, and reads what goes to `/deaf` only when there is a permit. So much
/// fits into its window for all streams.
fn deaf_for_a_while(window: u32) -> (Replica, Arc<tokio::sync::Semaphore>) {
    let wait = Arc::new(tokio::sync::Semaphore::new(0));
    let gate = Arc::clone(&wait);
    let mut builder = h2::server::Builder::new();
    builder.initial_connection_window_size(window);
    let replica =
        Replica::with(builder, move |asked: Request<RecvStream>, mut respond: SendResponse<Bytes>| {
            let gate = Arc::clone(&gate);
            async move {
                if asked.uri().path() == "/deaf" {
                    let _ = gate.acquire().await;
                }
                let body = read(&mut asked.into_body()).await?;
                say(&mut respond, 200, &body.len().to_string())
            }
        });
    (replica, wait)
}

/// As much as the streams may hold in all is held, and one more has something to send.
#[test]
fn uploads_that_are_held_up_take_no_time_and_no_room_from_others() {
    let (replica, wait) = deaf_for_a_while(64 << 20);
    let mut set = Set { protocol: proxy::Protocol::H2c, ..Set::default() };
    set.clients.timeouts.body_grace = Duration::from_millis(300);
    let inside = Inside::new(&[replica.address], set);
    let post = |path: &str, length: usize| {
        let uri = format!("http://h{path}");
        Request::post(uri).header("content-length", length).body(()).unwrap()
    };
    run(async {
        let mut client = Client::to(inside.address).await;
        let mut deaf = Vec::new();
        for _ in 0..20 {
            let (answer, mut stream) = client.begin(post("/deaf", 512 << 10), false).await;
            tokio::spawn(async move { send(&mut stream, Bytes::from(vec![7; 512 << 10]), true).await });
            deaf.push(answer);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (answer, mut stream) = client.begin(post("/hears", 1), false).await;
        tokio::spawn(async move { send(&mut stream, Bytes::from_static(b"1"), true).await });
        assert_eq!(whole(answer.await.unwrap()).await.unwrap().text(), "1");
        wait.add_permits(100);
        for answer in deaf {
            assert_eq!(whole(answer.await.unwrap()).await.unwrap().text(), (512 << 10).to_string());
        }
    });
}

#[test]
fn a_replica_that_does_not_read_an_upload_stalls_only_its_own_stream() {
    let (replica, wait) = deaf_for_a_while(1 << 20);
    let inside = in_front_of(&[replica.address]);
    run(async {
        let mut client = Client::to(inside.address).await;
        let mut deaf = Vec::new();
        for _ in 0..4 {
            let (answer, mut stream) = client.begin(request("POST", "/deaf"), false).await;
            tokio::spawn(async move { send(&mut stream, Bytes::from(vec![7; 2 << 20]), true).await });
            deaf.push(answer);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (answer, mut stream) = client.begin(request("POST", "/hears"), false).await;
        let sent = send(&mut stream, Bytes::from_static(b"heard"), true);
        tokio::time::timeout(Duration::from_secs(2), sent).await.expect("there is room for it").unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(2), answer).await.expect("it is answered");
        assert_eq!(whole(answer.unwrap()).await.unwrap().text(), "5");
        wait.add_permits(10);
        for answer in deaf {
            assert_eq!(whole(answer.await.unwrap()).await.unwrap().text(), (2 << 20).to_string());
        }
    });
}

//! What travels inside of TLS, in both directions, and what is kept of it: nothing, in the end.

use std::future::poll_fn;
use std::io;

use rustls::SupportedProtocolVersion;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream as ClientStream;

use super::rig::{Authority, PATIENCE, Yard};
use crate::wire::tls_stream::TlsStream;

/// Both ends of a connection.
async fn pair(version: &'static SupportedProtocolVersion) -> (TlsStream, ClientStream<TcpStream>) {
    let authority = Authority::new();
    let server = Yard::new(&[&authority.issue(&["a.test"])]).server();
    let connector = authority.client().speaking(version).connector();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let name = ServerName::try_from("a.test").unwrap();
    let (server, client) = tokio::join!(server.accept(accepted), connector.connect(name, socket));
    (server.unwrap(), client.unwrap())
}

/// Gives back all that comes, in pieces of odd sizes, until its end.
async fn echo(stream: &mut TlsStream) -> io::Result<usize> {
    let mut bytes = vec![0; 50_021];
    let mut whole = 0;
    loop {
        let room = 1 + whole % bytes.len();
        let count = poll_fn(|context| stream.poll_read(context, &mut bytes[..room])).await?;
        if count == 0 {
            return Ok(whole);
        }
        whole += count;
        let (mut first, mut second) = bytes[..count].split_at(count / 3);
        while !first.is_empty() || !second.is_empty() {
            let sent = poll_fn(|context| stream.poll_write(context, first, second)).await?;
            second = &second[sent.saturating_sub(first.len())..];
            first = &first[sent.min(first.len())..];
        }
        poll_fn(|context| stream.poll_flush(context)).await?;
    }
}

#[tokio::test]
async fn large_bodies_pass_in_both_directions_and_nothing_is_kept() {
    for version in [&TLS12, &TLS13] {
        let (mut server, client) = pair(version).await;
        assert_eq!(server.kept(), 0, "the handshake is over");
        let body: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        let (mut reading, mut writing) = tokio::io::split(client);
        let serving = echo(&mut server);
        let sending = async {
            for piece in body.chunks(70_001) {
                writing.write_all(piece).await?;
            }
            writing.flush().await?;
            writing.shutdown().await
        };
        let receiving = async {
            let mut back = vec![0; body.len()];
            reading.read_exact(&mut back).await.map(|_| back)
        };
        let all = async { tokio::join!(serving, sending, receiving) };
        let (served, sent, back) = tokio::time::timeout(PATIENCE, all).await.expect("it hangs");
        sent.unwrap();
        assert!(back.unwrap() == body, "something else came back");
        assert_eq!(served.unwrap(), body.len());
        assert_eq!(server.kept(), 0);
    }
}

#[tokio::test]
async fn keys_may_change_on_the_way() {
    let (mut server, mut client) = pair(&TLS13).await;
    let serving = echo(&mut server);
    let asking = async {
        for round in 0..5_u8 {
            client.get_mut().1.refresh_traffic_keys().unwrap();
            client.write_all(&[round; 1000]).await.unwrap();
            let mut back = [0; 1000];
            client.read_exact(&mut back).await.unwrap();
            assert_eq!(back, [round; 1000]);
        }
        client.shutdown().await.unwrap();
    };
    let both = async { tokio::join!(serving, asking).0 };
    assert_eq!(tokio::time::timeout(PATIENCE, both).await.expect("it hangs").unwrap(), 5000);
    assert_eq!(server.kept(), 0);
}

#[tokio::test]
async fn who_has_said_goodbye_is_answered_and_who_is_gone_without_is_missed() {
    for version in [&TLS12, &TLS13] {
        let (mut server, mut client) = pair(version).await;
        client.write_all(b"last").await.unwrap();
        client.shutdown().await.unwrap();
        let mut bytes = [0; 9];
        let read = async |server: &mut TlsStream, bytes: &mut [u8]| {
            poll_fn(|context| server.poll_read(context, bytes)).await
        };
        assert_eq!(read(&mut server, &mut bytes).await.unwrap(), 4);
        assert_eq!(read(&mut server, &mut bytes).await.unwrap(), 0);
        poll_fn(|context| server.poll_write(context, b"answer", b"")).await.unwrap();
        poll_fn(|context| server.poll_shutdown(context)).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
        let (mut server, mut client) = pair(version).await;
        client.write_all(b"half").await.unwrap();
        client.get_mut().0.shutdown().await.unwrap();
        assert_eq!(read(&mut server, &mut bytes).await.unwrap(), 4);
        let end = read(&mut server, &mut bytes).await.unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn what_is_no_tls_is_refused_with_an_alert() {
    let (mut server, mut client) = pair(&TLS13).await;
    // A record whose seal is wrong.
    client.get_mut().0.write_all(b"\x17\x03\x03\0\x20................................").await.unwrap();
    let broken = poll_fn(|context| server.poll_read(context, &mut [0; 9])).await.unwrap_err();
    assert_eq!(broken.kind(), io::ErrorKind::InvalidData);
    let told = client.read(&mut [0; 9]).await.unwrap_err();
    assert!(told.to_string().contains("BadRecordMac"), "{told}");
}

//! Whole connections, read by h1 and by hyper.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use h1::{BadHead, BodyLength, Fields, HeadEnd, HeadLimits, Method, RequestHead, ResponseHead, Underscores};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::chunks::{Decoded, Fate, decode};
use crate::rules::has_bare_line_feed;
use crate::tally::{Class, Tally, unexplained};

/// As much as any connection here carries.
const PIPE_SIZE: usize = 1 << 20;

type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// A request or an answer as a reader understands it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Message {
    /// Method and target, or the status.
    start: String,
    fields: Lines,
    body: Vec<u8>,
    trailers: Lines,
    is_whole: bool,
}

/// Why h1 reads no more messages from a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stop {
    NothingLeft,
    Closed,
    Unfinished,
    Head(BadHead),
    /// The body that begins here.
    Body(usize),
}

/// Reads the bytes as all that a client sends. What h1 reads hyper reads too; what hyper reads beyond
/// that has a reason.
pub(crate) fn check_connection(bytes: &[u8], tally: &mut Tally) {
    let (ours, stop) = requests(bytes);
    let theirs = run(hyper_requests(bytes.to_vec()));
    for (index, message) in ours.iter().enumerate() {
        match theirs.get(index) {
            Some(other) if other == message => {}
            None if !is_uri(&message.start) => {
                tally.count(Class::NoUri);
                return;
            }
            other => unexplained(bytes, &format!("{message:#?}\nis for hyper {other:#?}")),
        }
    }
    match (stop, &theirs[ours.len()..]) {
        (Stop::Head(_) | Stop::NothingLeft | Stop::Closed | Stop::Unfinished, []) => {}
        // A message that lacks its end is one for nobody.
        (Stop::Unfinished | Stop::Body(_), [other]) if !other.is_whole => {}
        (Stop::Head(_), _) => tally.count(Class::RefusedHead),
        (Stop::Body(start), [_, ..]) => match reason_of(&bytes[start..]) {
            Some(class) => tally.count(class),
            None => unexplained(bytes, "only h1 refuses the body"),
        },
        (stop, others) => unexplained(bytes, &format!("{stop:?}, but hyper goes on with {others:#?}")),
    }
    tally.accepted += ours.len();
    tally.refused += usize::from(matches!(stop, Stop::Head(_) | Stop::Body(_)));
}

/// Reads the bytes as all that a server sends to a GET or a HEAD.
pub(crate) fn check_answer(bytes: &[u8], is_head: bool, tally: &mut Tally) {
    let ours = answer(bytes, if is_head { Method::Head } else { Method::Get });
    let theirs = run(hyper_answer(bytes.to_vec(), if is_head { "HEAD" } else { "GET" }));
    let is_refused = matches!(ours, Err(Stop::Head(_) | Stop::Body(_)));
    match (ours, theirs) {
        (Ok(message), Some(other)) if message == other => tally.accepted += 1,
        (Err(_), None) => tally.refused += usize::from(is_refused),
        (Err(_), Some(other)) if !other.is_whole => tally.refused += usize::from(is_refused),
        (Err(Stop::Head(_)), Some(_)) => tally.count(Class::RefusedHead),
        (Err(Stop::Body(start)), Some(_)) => match reason_of(&bytes[start..]) {
            Some(class) => tally.count(class),
            None => unexplained(bytes, "only h1 refuses the body"),
        },
        (ours, theirs) => unexplained(bytes, &format!("{ours:#?}\nis for hyper {theirs:#?}")),
    }
}

/// What h1 has against a chunked body that hyper reads.
fn reason_of(body: &[u8]) -> Option<Class> {
    let mut rest = body;
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = rest[..end].trim_ascii_end();
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = u64::from_str_radix(std::str::from_utf8(&line[..digits]).ok()?, 16).ok()?;
        let behind = &rest[digits..end];
        if matches!(behind, [b' ' | b'\t', ..]) {
            return Some(Class::SpaceAfterSize);
        }
        if line.len() > 1024 {
            return Some(Class::Limit);
        }
        if digits > 16 {
            return Some(Class::LongSize);
        }
        if line[digits..].iter().any(u8::is_ascii_control) {
            return Some(Class::ControlInExtension);
        }
        rest = &rest[end + 1..];
        if size == 0 {
            return has_bare_line_feed(rest).then_some(Class::SwallowedByTrailers);
        }
        rest = rest.get(usize::try_from(size).ok()? + 2..)?;
    }
}

fn limits() -> HeadLimits {
    HeadLimits { underscores: Underscores::Keep, ..HeadLimits::default() }
}

fn requests(bytes: &[u8]) -> (Vec<Message>, Stop) {
    let (mut messages, mut start) = (Vec::new(), 0);
    loop {
        let end = match HeadEnd::default().find(&bytes[start..], &limits()) {
            Ok(Some(length)) => start + length,
            Ok(None) if b"\r\n".starts_with(&bytes[start..]) => return (messages, Stop::NothingLeft),
            Ok(None) => return (messages, Stop::Unfinished),
            Err(fault) => return (messages, Stop::Head(fault)),
        };
        let mut head = RequestHead::default();
        if let Err(fault) = head.parse(&bytes[start..end], &limits()) {
            return (messages, Stop::Head(fault));
        }
        let mut origin = Vec::new();
        head.write_origin(&mut origin);
        let [method, origin] =
            [head.method_name(), &origin].map(|part| String::from_utf8_lossy(part).into_owned());
        let body = decode(head.body(), &bytes[end..], &[], usize::MAX);
        start = match body.fate {
            Fate::Ended(length) => end + length,
            Fate::Unfinished => return (messages, Stop::Unfinished),
            Fate::Fault(_) => return (messages, Stop::Body(end)),
        };
        messages.push(message(format!("{method} {origin}"), head.fields(), body));
        // Both are for a proxy to answer.
        if !head.keeps_alive() || head.method() == Method::Connect {
            return (messages, Stop::Closed);
        }
    }
}

fn answer(bytes: &[u8], asked: Method) -> Result<Message, Stop> {
    let mut start = 0;
    loop {
        let end = HeadEnd::default().find(&bytes[start..], &limits()).map_err(Stop::Head)?;
        let end = start + end.ok_or(Stop::Unfinished)?;
        let mut head = ResponseHead::default();
        head.parse(&bytes[start..end], &limits()).map_err(Stop::Head)?;
        if head.is_interim() && head.status() != 101 {
            start = end;
            continue;
        }
        let length = head.body(asked);
        let mut body = decode(length, &bytes[end..], &[], usize::MAX);
        if length == BodyLength::UntilClose {
            body.fate = Fate::Ended(bytes.len() - end);
        }
        return match body.fate {
            Fate::Ended(_) => Ok(message(head.status().to_string(), head.fields(), body)),
            Fate::Unfinished => Err(Stop::Unfinished),
            Fate::Fault(_) => Err(Stop::Body(end)),
        };
    }
}

fn message(start: String, fields: &Fields, body: Decoded) -> Message {
    let lines = fields.iter().map(|field| (field.name_bytes.to_vec(), field.value.to_vec()));
    let (fields, trailers) = (in_order(lines.collect()), in_order(body.trailers));
    Message { start, fields, body: body.body, trailers, is_whole: true }
}

/// hyper keeps the order of fields of one name only.
fn in_order(mut lines: Lines) -> Lines {
    lines.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    lines.sort_by(|(one, _), (other, _)| one.cmp(other));
    lines
}

fn lines(headers: &HeaderMap) -> Lines {
    let lines = headers.iter().map(|(name, value)| (name.as_str().into(), value.as_bytes().to_vec()));
    in_order(lines.collect())
}

fn is_uri(start: &str) -> bool {
    start.split_once(' ').is_some_and(|(_, target)| target.parse::<hyper::Uri>().is_ok())
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
        let limit = std::time::Duration::from_secs(10);
        tokio::time::timeout(limit, future).await.expect("a connection in memory ends at once")
    })
}

async fn hyper_requests(bytes: Vec<u8>) -> Vec<Message> {
    let (mut client, server) = tokio::io::duplex(PIPE_SIZE);
    client.write_all(&bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let seen = seen.clone();
        async move {
            let (head, body) = request.into_parts();
            let path_and_query = head.uri.path_and_query().map_or("", |text| text.as_str());
            let is_about_server = head.method == hyper::Method::OPTIONS
                && head.uri.authority().is_some()
                && path_and_query == "/";
            // Before a query, it leaves out the path that stands for none.
            let slash = if path_and_query.starts_with('?') { "/" } else { "" };
            let origin = if is_about_server { "*" } else { path_and_query };
            let start = format!("{} {slash}{origin}", head.method);
            let message = Message { start, fields: lines(&head.headers), ..Message::default() };
            let message = with_body(message, body).await;
            seen.lock().unwrap().push(message);
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let mut server_settings = hyper::server::conn::http1::Builder::new();
    let _ = server_settings.half_close(true).serve_connection(TokioIo::new(server), service).await;
    drop(client);
    let seen = seen.lock().unwrap();
    seen.clone()
}

async fn hyper_answer(bytes: Vec<u8>, method: &str) -> Option<Message> {
    let (client, server) = tokio::io::duplex(PIPE_SIZE);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(client)).await.unwrap();
    let request = Request::builder().method(method).uri("/").body(Empty::new()).unwrap();
    let asking = async {
        let (head, body) = sender.send_request(request).await.ok()?.into_parts();
        let (start, fields) = (head.status.as_u16().to_string(), lines(&head.headers));
        Some(with_body(Message { start, fields, ..Message::default() }, body).await)
    };
    let (message, _, ()) = tokio::join!(asking, connection, answer_with(server, bytes));
    message
}

async fn answer_with(mut server: DuplexStream, bytes: Vec<u8>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        server.read_buf(&mut request).await.unwrap();
    }
    let _ = server.write_all(&bytes).await;
    let _ = server.shutdown().await;
}

async fn with_body(mut message: Message, mut body: Incoming) -> Message {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return message };
        match frame.into_data() {
            Ok(data) => message.body.extend_from_slice(&data),
            Err(frame) => {
                message.trailers = frame.into_trailers().map_or_else(|_| Vec::new(), |map| lines(&map));
            }
        }
    }
    message.trailers.retain(|(name, _)| !name.contains(&b'_'));
    message.is_whole = true;
    message
}

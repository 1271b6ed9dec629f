//! What a line of the access log says. Whatever bytes a client sends, it stays one line, and one
//! that its readers understand: they cannot be made to see requests that never were.

use std::borrow::Cow;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use fleet::harmless_json;
use serde::Serialize;
use time::OffsetDateTime;

use super::settings::AccessLogFormat;
use crate::clients::certificate::ClientCertificate;

/// How much is shown of each thing that a client wrote; the rest of it is left out.
const FIELD_BYTES_MAX: usize = 8 * 1024;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A request that is over, and how it went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// When its head was there.
    pub(crate) time: SystemTime,
    /// Who has sent it, behind all proxies that are trusted.
    pub(crate) client: IpAddr,
    /// The other end of the connection.
    pub(crate) peer: SocketAddr,
    pub(crate) is_tls: bool,
    /// What its client has shown.
    pub(crate) certificate: Option<&'a ClientCertificate>,
    /// Who has signed in, by a name that was proven.
    pub(crate) user: Option<&'a str>,
    pub(crate) method: &'a [u8],
    pub(crate) target: &'a [u8],
    pub(crate) version: HttpVersion,
    pub(crate) host: Option<&'a [u8]>,
    pub(crate) referer: Option<&'a [u8]>,
    pub(crate) user_agent: Option<&'a [u8]>,
    pub(crate) request_id: Option<&'a [u8]>,
    pub(crate) service: Option<&'a str>,
    /// Who answered, or failed last.
    pub(crate) replica: Option<&'a str>,
    /// How often it was sent to a replica.
    pub(crate) attempts: u32,
    /// How long it waited for a replica to take traffic.
    pub(crate) waited: Duration,
    /// Which limit it met last, if it did.
    pub(crate) limit: Option<&'a str>,
    /// Which policies answered or changed it, if any did.
    pub(crate) policy: Option<&'a str>,
    /// Why the answer is ours and no replica's, if something went wrong.
    pub(crate) failure: Option<&'a str>,
    pub(crate) status: u16,
    /// Of the body, to the client.
    pub(crate) bytes_sent: u64,
    /// Until the last byte was sent.
    pub(crate) duration: Duration,
    pub(crate) ending: Ending,
}

/// How the client asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpVersion {
    Http10,
    Http11,
    Http2,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Ending {
    /// The client got all of a response.
    #[default]
    Complete,
    /// The client did not wait for it.
    ClientLeft,
    /// The replica broke off in the middle of it.
    ReplicaFailed,
    /// The file that is its body could not be read to its end.
    FileFailed,
    /// We ended its connection in the middle of it.
    HungUp,
}

impl HttpVersion {
    fn text(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }
}

impl Ending {
    fn text(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientLeft => "client left",
            Self::ReplicaFailed => "replica failed",
            Self::FileFailed => "file failed",
            Self::HungUp => "hung up",
        }
    }
}

/// Appends one line, its end included.
pub(super) fn write(format: AccessLogFormat, entry: &Entry<'_>, line: &mut Vec<u8>) {
    match format {
        AccessLogFormat::Json => write_json(entry, line),
        AccessLogFormat::Common => write_common(entry, line),
    }
    line.push(b'\n');
}

/// The keys of a line, in their order. What is not known is null, so that all lines have all keys.
#[derive(Serialize)]
struct JsonLine<'a> {
    time: String,
    client: IpAddr,
    client_port: Option<u16>,
    peer: IpAddr,
    tls: bool,
    certificate: Option<&'a str>,
    user: Option<&'a str>,
    method: Cow<'a, str>,
    target: Cow<'a, str>,
    version: &'static str,
    host: Option<Cow<'a, str>>,
    referer: Option<Cow<'a, str>>,
    user_agent: Option<Cow<'a, str>>,
    request_id: Option<Cow<'a, str>>,
    service: Option<&'a str>,
    replica: Option<&'a str>,
    attempts: u32,
    waited_ms: f64,
    limit: Option<&'a str>,
    policy: Option<&'a str>,
    failure: Option<&'a str>,
    status: u16,
    bytes_sent: u64,
    duration_ms: f64,
    ending: &'static str,
}

fn write_json(entry: &Entry<'_>, line: &mut Vec<u8>) {
    // Bytes that are no UTF-8 become replacement characters: JSON has no other way to show them.
    let text = |bytes| String::from_utf8_lossy(shown(bytes));
    let peer = entry.peer.ip().to_canonical();
    let values = JsonLine {
        time: rfc3339(entry.time),
        client: entry.client.to_canonical(),
        // Of somebody behind a proxy it is not known.
        client_port: (entry.client.to_canonical() == peer).then_some(entry.peer.port()),
        peer,
        tls: entry.is_tls,
        certificate: entry.certificate.and_then(|it| it.subject().or(Some(&it.fingerprint))),
        user: entry.user,
        method: text(entry.method),
        target: text(entry.target),
        version: entry.version.text(),
        host: entry.host.map(text),
        referer: entry.referer.map(text),
        user_agent: entry.user_agent.map(text),
        request_id: entry.request_id.map(text),
        service: entry.service,
        replica: entry.replica,
        attempts: entry.attempts,
        waited_ms: milliseconds(entry.waited),
        limit: entry.limit,
        policy: entry.policy,
        failure: entry.failure,
        status: entry.status,
        bytes_sent: entry.bytes_sent,
        duration_ms: milliseconds(entry.duration),
        ending: entry.ending.text(),
    };
    let start = line.len();
    serde_json::to_writer(&mut *line, &values).expect("memory takes every byte, and the keys are names");
    // Whoever watches the log on a terminal must not be given orders by what clients send.
    if !line[start..].iter().all(|byte| (b' '..0x7f).contains(byte)) {
        let text = String::from_utf8_lossy(&line.split_off(start)).into_owned();
        line.extend_from_slice(harmless_json(&text).as_bytes());
    }
}

fn write_common(entry: &Entry<'_>, line: &mut Vec<u8>) {
    const MEMORY: &str = "memory takes every byte";
    let (client, time) = (entry.client.to_canonical(), common_time(entry.time));
    write!(line, "{client} - ").expect(MEMORY);
    for (place, word) in entry.user.unwrap_or("-").split(' ').enumerate() {
        // A name may have spaces in it, which end fields here.
        line.extend_from_slice(if place > 0 { b"\\x20" } else { b"" });
        escape(word.as_bytes(), line);
    }
    write!(line, " [{time}] \"").expect(MEMORY);
    escape(entry.method, line);
    line.push(b' ');
    escape(entry.target, line);
    write!(line, " {}\" {} ", entry.version.text(), entry.status).expect(MEMORY);
    match entry.bytes_sent {
        0 => line.push(b'-'),
        count => write!(line, "{count}").expect(MEMORY),
    }
    for field in [entry.referer, entry.user_agent] {
        line.extend_from_slice(b" \"");
        escape(field.unwrap_or(b"-"), line);
        line.push(b'"');
    }
}

/// Whatever could end a field or a line, or is no printable ASCII, becomes \xHH, as with nginx.
fn escape(bytes: &[u8], line: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in shown(bytes) {
        match byte {
            b'"' | b'\\' | ..b' ' | 0x7f.. => {
                let digit = |value: u8| DIGITS[usize::from(value & 0xf)];
                line.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(*byte)]);
            }
            _ => line.push(*byte),
        }
    }
}

fn shown(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(FIELD_BYTES_MAX)]
}

/// To the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

fn rfc3339(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second, millisecond) = time.to_hms_milli();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

fn common_time(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    let month = MONTHS[usize::from(u8::from(month)) - 1];
    format!("{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn entry() -> Entry<'static> {
        Entry {
            time: UNIX_EPOCH + Duration::from_micros(951_782_400_000_000 + 3_723_004_500),
            client: "192.0.2.7".parse().unwrap(),
            peer: "192.0.2.7:12345".parse().unwrap(),
            is_tls: true,
            certificate: None,
            user: None,
            method: b"GET",
            target: b"/cart?id=7",
            version: HttpVersion::Http11,
            host: Some(b"shop.example"),
            referer: Some(b"https://shop.example/"),
            user_agent: Some(b"curl/8.5"),
            request_id: Some(b"0123abcd"),
            service: Some("web"),
            replica: Some("web-2"),
            attempts: 1,
            waited: Duration::ZERO,
            limit: None,
            policy: None,
            failure: None,
            status: 200,
            bytes_sent: 2326,
            duration: Duration::from_micros(1234),
            ending: Ending::Complete,
        }
    }

    fn line(format: AccessLogFormat, entry: &Entry<'_>) -> String {
        let mut line = Vec::new();
        write(format, entry, &mut line);
        let line = String::from_utf8(line).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        line.strip_suffix('\n').unwrap().to_string()
    }

    fn json(entry: &Entry<'_>) -> serde_json::Value {
        serde_json::from_str(&line(AccessLogFormat::Json, entry)).unwrap()
    }

    #[test]
    fn a_request_is_one_json_object() {
        let expected = concat!(
            r#"{"time":"2000-02-29T01:02:03.004Z","client":"192.0.2.7","client_port":12345,"peer":"192.0.2.7","tls":true,"certificate":null,"user":null,"#,
            r#""method":"GET","target":"/cart?id=7","version":"HTTP/1.1","host":"shop.example","#,
            r#""referer":"https://shop.example/","user_agent":"curl/8.5","request_id":"0123abcd","#,
            r#""service":"web","replica":"web-2","attempts":1,"waited_ms":0.0,"limit":null,"policy":null,"failure":null,"#,
            r#""status":200,"bytes_sent":2326,"duration_ms":1.234,"ending":"complete"}"#,
        );
        assert_eq!(line(AccessLogFormat::Json, &entry()), expected);
    }

    #[test]
    fn what_is_not_known_is_null_or_a_dash() {
        let entry = Entry {
            client: "::ffff:192.0.2.7".parse().unwrap(),
            peer: "10.0.0.1:1".parse().unwrap(),
            is_tls: false,
            version: HttpVersion::Http2,
            host: None,
            referer: None,
            user_agent: None,
            request_id: None,
            service: None,
            replica: None,
            attempts: 0,
            waited: Duration::from_secs(10),
            limit: Some("limits.requests"),
            policy: Some("redirect"),
            failure: Some("too many requests are under way"),
            status: 503,
            bytes_sent: 0,
            ending: Ending::ClientLeft,
            ..entry()
        };
        let expected = concat!(
            r#"{"time":"2000-02-29T01:02:03.004Z","client":"192.0.2.7","client_port":null,"peer":"10.0.0.1","tls":false,"certificate":null,"user":null,"#,
            r#""method":"GET","target":"/cart?id=7","version":"HTTP/2.0","host":null,"#,
            r#""referer":null,"user_agent":null,"request_id":null,"#,
            r#""service":null,"replica":null,"attempts":0,"waited_ms":10000.0,"limit":"limits.requests","policy":"redirect","#,
            r#""failure":"too many requests are under way","#,
            r#""status":503,"bytes_sent":0,"duration_ms":1.234,"ending":"client left"}"#,
        );
        assert_eq!(line(AccessLogFormat::Json, &entry), expected);
        assert_eq!(
            line(AccessLogFormat::Common, &entry),
            r#"192.0.2.7 - - [29/Feb/2000:01:02:03 +0000] "GET /cart?id=7 HTTP/2.0" 503 - "-" "-""#,
        );
        assert_eq!(json(&Entry { ending: Ending::ReplicaFailed, ..entry })["ending"], "replica failed");
    }

    #[test]
    fn a_request_is_one_common_line() {
        let expected = concat!(
            r#"192.0.2.7 - - [29/Feb/2000:01:02:03 +0000] "GET /cart?id=7 HTTP/1.1" 200 2326 "#,
            r#""https://shop.example/" "curl/8.5""#,
        );
        assert_eq!(line(AccessLogFormat::Common, &entry()), expected);
        let entry = Entry { client: "2001:db8::7".parse().unwrap(), version: HttpVersion::Http10, ..entry() };
        assert!(line(AccessLogFormat::Common, &entry).starts_with("2001:db8::7 - - ["));
        assert!(line(AccessLogFormat::Common, &entry).contains(" HTTP/1.0\" 200 "));
        let entry = Entry { user: Some("a \"b\u{e4}"), ..entry };
        assert!(line(AccessLogFormat::Common, &entry).starts_with(r"2001:db8::7 - a\x20\x22b\xC3\xA4 ["));
        assert_eq!(json(&entry)["user"], "a \"b\u{e4}");
    }

    #[test]
    fn no_byte_of_a_client_ends_a_line_or_a_field() {
        for byte in 0..=255_u8 {
            let hostile = [b'a', byte, b'b'];
            let entry = Entry {
                method: &hostile,
                target: &hostile,
                host: Some(&hostile),
                referer: Some(&hostile),
                user_agent: Some(&hostile),
                request_id: Some(&hostile),
                ..entry()
            };
            let expected = String::from_utf8_lossy(&hostile);
            for key in ["method", "target", "host", "referer", "user_agent", "request_id"] {
                assert_eq!(json(&entry)[key], *expected, "{byte}");
            }
            let line = line(AccessLogFormat::Common, &entry);
            assert!(line.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{line}");
            assert_eq!(line.matches('"').count(), 6, "{line}");
            let is_plain = (b' '..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
            let shown = if is_plain { expected.to_string() } else { format!("a\\x{byte:02X}b") };
            assert!(line.ends_with(&format!("\"{shown}\"")), "{line}");
        }
    }

    #[test]
    fn an_endless_field_is_cut() {
        let endless = vec![0xff; 100_000];
        let entry = Entry { target: &endless, ..entry() };
        assert!(line(AccessLogFormat::Common, &entry).len() < 5 * FIELD_BYTES_MAX);
        assert_eq!(json(&entry)["target"].as_str().unwrap().chars().count(), FIELD_BYTES_MAX);
    }
}

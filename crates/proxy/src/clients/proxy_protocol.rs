//! The PROXY protocol, versions 1 and 2: the address of the client as a balancer before us saw it,
//! in front of the first byte of a connection. It never decides whom to believe, and never takes a
//! byte that belongs to what follows.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use tokio::net::TcpStream;

/// The longest line of version 1, its end included; the specification's number.
const LINE_BYTES_MAX: usize = 107;
/// The longest header of version 2. Addresses take 36 bytes; the rest is room for notes of the
/// sender, which are skipped. nginx has the same limit.
const HEADER_BYTES_MAX: usize = 4096;

const LINE_START: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, and the length of the rest.
const PREAMBLE_BYTES: usize = 16;

/// What the beginning of a connection says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// So far so good.
    Incomplete,
    /// The header is whole.
    Complete {
        /// How many bytes it took.
        length: usize,
        /// Whom the connection is from; none when the sender speaks for itself, as health checks
        /// do, or does not know. Then it is from the sender.
        source: Option<SocketAddr>,
    },
}

/// Why a connection does not begin with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadHeader {
    #[error("no PROXY protocol header")]
    Missing,
    #[error("the PROXY protocol header is too long")]
    TooLong,
    #[error("the PROXY protocol line is malformed")]
    BadLine,
    #[error("the PROXY protocol has no such version or command")]
    BadCommand,
    #[error("the PROXY protocol has no such address family or transport")]
    BadFamily,
    #[error("the PROXY protocol header is too short for its addresses")]
    BadLength,
}

/// Reads a header off the beginning of a connection, and not one byte more. It waits for as long as
/// the sender takes: the deadline is the caller's. A bad header is [`io::ErrorKind::InvalidData`].
pub(crate) async fn read_source(stream: &TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![0; HEADER_BYTES_MAX];
    let mut length = 0;
    loop {
        // Looked at first and taken only as far as it is ours.
        let seen = stream.peek(&mut header[length..]).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let parsed = parse(&header[..length + seen]);
        match parsed.map_err(|bad| io::Error::new(io::ErrorKind::InvalidData, bad))? {
            Outcome::Complete { length: whole, source } => {
                take(stream, &mut header[length..whole]).await?;
                return Ok(source);
            }
            Outcome::Incomplete => {
                take(stream, &mut header[length..length + seen]).await?;
                length += seen;
            }
        }
    }
}

async fn take(stream: &TcpStream, mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.readable().await?;
        match stream.try_read(bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => bytes = &mut bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What these first bytes of a connection say. More bytes never change what is complete or bad.
pub(crate) fn parse(bytes: &[u8]) -> Result<Outcome, BadHeader> {
    if begins(bytes, SIGNATURE) {
        parse_binary(bytes)
    } else if begins(bytes, LINE_START) {
        parse_line(bytes)
    } else {
        Err(BadHeader::Missing)
    }
}

/// Whether they are the beginning of the same, as far as both go.
fn begins(bytes: &[u8], expected: &[u8]) -> bool {
    bytes.iter().zip(expected).all(|(byte, expected)| byte == expected)
}

fn parse_line(bytes: &[u8]) -> Result<Outcome, BadHeader> {
    let window = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return if window.len() < LINE_BYTES_MAX { Ok(Outcome::Incomplete) } else { Err(BadHeader::TooLong) };
    };
    let line = window[..end].strip_suffix(b"\r").and_then(|line| line.strip_prefix(LINE_START));
    let line = line.ok_or(BadHeader::BadLine)?;
    // Whatever follows that word is to be ignored.
    let source = if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        None
    } else {
        Some(line_source(line).ok_or(BadHeader::BadLine)?)
    };
    Ok(Outcome::Complete { length: end + 1, source })
}

fn line_source(line: &[u8]) -> Option<SocketAddr> {
    let (family, words) = str::from_utf8(line).ok()?.split_once(' ')?;
    match family {
        "TCP4" => words_source::<Ipv4Addr>(words),
        "TCP6" => words_source::<Ipv6Addr>(words),
        _ => None,
    }
}

fn words_source<Address: FromStr + Into<IpAddr>>(words: &str) -> Option<SocketAddr> {
    let mut words = words.split(' ');
    let source: Address = words.next()?.parse().ok()?;
    let _destination: Address = words.next()?.parse().ok()?;
    let source_port = port(words.next()?)?;
    let _destination_port = port(words.next()?)?;
    words.next().is_none().then(|| SocketAddr::new(source.into(), source_port))
}

/// The standard library would take "+80" and "080" too.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    if is_plain { word.parse().ok() } else { None }
}

fn parse_binary(bytes: &[u8]) -> Result<Outcome, BadHeader> {
    let Some((preamble, rest)) = bytes.split_first_chunk::<PREAMBLE_BYTES>() else {
        return Ok(Outcome::Incomplete);
    };
    let [.., command, family, length_high, length_low] = *preamble;
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(BadHeader::BadCommand),
    };
    if family >> 4 > 3 || family & 0xf > 2 {
        return Err(BadHeader::BadFamily);
    }
    let rest_length = usize::from(u16::from_be_bytes([length_high, length_low]));
    let length = PREAMBLE_BYTES + rest_length;
    if length > HEADER_BYTES_MAX {
        return Err(BadHeader::TooLong);
    }
    let Some(rest) = rest.get(..rest_length) else {
        return Ok(Outcome::Incomplete);
    };
    // Who speaks for itself may leave anything where the addresses are.
    let source = if is_local { None } else { binary_source(family, rest)? };
    Ok(Outcome::Complete { length, source })
}

fn binary_source(family: u8, rest: &[u8]) -> Result<Option<SocketAddr>, BadHeader> {
    let (address, ports): (IpAddr, &[u8]) = match family >> 4 {
        1 => {
            let (addresses, rest) = rest.split_first_chunk::<8>().ok_or(BadHeader::BadLength)?;
            let [a, b, c, d, ..] = *addresses;
            ([a, b, c, d].into(), rest)
        }
        2 => {
            let (source, rest) = rest.split_first_chunk::<16>().ok_or(BadHeader::BadLength)?;
            let (_destination, rest) = rest.split_first_chunk::<16>().ok_or(BadHeader::BadLength)?;
            ((*source).into(), rest)
        }
        // The names of sockets on the sender's machine: there must be two, and they say nothing.
        3 if rest.len() < 216 => return Err(BadHeader::BadLength),
        _ => return Ok(None),
    };
    let ([high, low, ..], _) = ports.split_first_chunk::<4>().ok_or(BadHeader::BadLength)?;
    let is_stream = family & 0xf == 1;
    Ok(is_stream.then(|| SocketAddr::new(address, u16::from_be_bytes([*high, *low]))))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LINE_MAX: &str = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                            ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }

    const IPV4: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 9, 0x30, 0x39, 1, 187];
    const TLV: &[u8] = &[0x04, 0, 3, 1, 2, 3];

    fn ipv6() -> Vec<u8> {
        let source = "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets();
        let destination = "2001:db8::9".parse::<Ipv6Addr>().unwrap().octets();
        [&source[..], &destination[..], &[0x30, 0x39, 1, 187]].concat()
    }

    /// Good headers and the clients that they name.
    fn good() -> Vec<(Vec<u8>, Option<&'static str>)> {
        let (v4, v6) = (Some("192.0.2.7:12345"), Some("[2001:db8::7]:12345"));
        let line = |text: &str| text.as_bytes().to_vec();
        let long = [IPV4, &vec![0; HEADER_BYTES_MAX - PREAMBLE_BYTES - IPV4.len()][..]].concat();
        vec![
            (line("PROXY TCP4 192.0.2.7 198.51.100.9 12345 443\r\n"), v4),
            (line("PROXY TCP6 2001:db8::7 2001:db8::9 12345 443\r\n"), v6),
            (line("PROXY TCP4 192.0.2.7 198.51.100.9 0 65535\r\n"), Some("192.0.2.7:0")),
            (line(LINE_MAX), Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535")),
            (line("PROXY UNKNOWN\r\n"), None),
            (line("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), None),
            (b"PROXY UNKNOWN any \0 thing \xff\r\n".to_vec(), None),
            (binary(0x21, 0x11, IPV4), v4),
            (binary(0x21, 0x21, &ipv6()), v6),
            (binary(0x21, 0x11, &[IPV4, TLV].concat()), v4),
            (binary(0x21, 0x21, &[&ipv6(), TLV].concat()), v6),
            (binary(0x21, 0x11, &long), v4),
            (binary(0x20, 0x00, &[]), None),
            (binary(0x20, 0x11, IPV4), None),
            (binary(0x20, 0x11, TLV), None),
            (binary(0x21, 0x00, &[]), None),
            (binary(0x21, 0x00, TLV), None),
            (binary(0x21, 0x31, &[7; 216]), None),
            (binary(0x21, 0x12, IPV4), None),
            (binary(0x21, 0x10, IPV4), None),
        ]
    }

    #[test]
    fn a_good_header_is_read_to_its_end_and_no_further() {
        for (header, source) in good() {
            let source = source.map(|text| text.parse().unwrap());
            let expected = Ok(Outcome::Complete { length: header.len(), source });
            assert_eq!(parse(&header), expected, "{header:?}");
            for rest in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\n", b"PROXY UNKNOWN\r\n", &[0; 5000]] {
                assert_eq!(parse(&[&header, rest].concat()), expected, "{header:?}");
            }
        }
    }

    #[test]
    fn a_good_header_is_incomplete_until_its_last_byte() {
        for (header, _) in good() {
            for length in 0..header.len() {
                assert_eq!(parse(&header[..length]), Ok(Outcome::Incomplete), "{length} of {header:?}");
            }
        }
    }

    #[test]
    fn a_bad_line_is_refused() {
        let cases = [
            ("GET / HTTP/1.1\r\n", BadHeader::Missing),
            ("proxy TCP4 192.0.2.7 198.51.100.9 1 2\r\n", BadHeader::Missing),
            (" PROXY UNKNOWN\r\n", BadHeader::Missing),
            ("PROXY\r\n", BadHeader::Missing),
            ("PROXY \r\n", BadHeader::BadLine),
            ("PROXY  UNKNOWN\r\n", BadHeader::BadLine),
            ("PROXY UNKNOWN\n", BadHeader::BadLine),
            ("PROXY UNKNOWNS\r\n", BadHeader::BadLine),
            ("PROXY TCP5 192.0.2.7 198.51.100.9 1 2\r\n", BadHeader::BadLine),
            ("PROXY TCP4 192.0.2.7 198.51.100.9 1 2\n", BadHeader::BadLine),
            ("PROXY TCP4 192.0.2.7 198.51.100.9 1\r\n", BadHeader::BadLine),
            ("PROXY TCP4 192.0.2.7 198.51.100.9 1 \r\n", BadHeader::BadLine),
            ("PROXY TCP4 192.0.2.7 198.51.100.9 1 2 3\r\n", BadHeader::BadLine),
            ("PROXY TCP4 192.0.2.7 198.51.100.9 1 2 \r\n", BadHeader::BadLine),
            ("PROXY TCP4  192.0.2.7 198.51.100.9 1 2\r\n", BadHeader::BadLine),
            ("PROXY TCP4\t192.0.2.7 198.51.100.9 1 2\r\n", BadHeader::BadLine),
            ("PROXY TCP4 192.0.2.7 198.51.100.9 01 2\r\n", BadHeader::BadLine),
            ("PROXY TCP4 192.0.2.7 198.51.100.9 +1 2\r\n", BadHeader::BadLine),
            ("PROXY TCP4 192.0.2.7 198.51.100.9 1 65536\r\n", BadHeader::BadLine),
            ("PROXY TCP4 192.0.2.256 198.51.100.9 1 2\r\n", BadHeader::BadLine),
            ("PROXY TCP4 192.0.2.007 198.51.100.9 1 2\r\n", BadHeader::BadLine),
            ("PROXY TCP4 2001:db8::7 2001:db8::9 1 2\r\n", BadHeader::BadLine),
            ("PROXY TCP6 192.0.2.7 198.51.100.9 1 2\r\n", BadHeader::BadLine),
            ("PROXY TCP6 2001:db8::7%eth0 2001:db8::9 1 2\r\n", BadHeader::BadLine),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line.as_bytes()), Err(expected), "{line:?}");
        }
        assert_eq!(parse(b"PROXY TCP4 \xff 198.51.100.9 1 2\r\n"), Err(BadHeader::BadLine));
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(200));
        assert_eq!(parse(&endless.as_bytes()[..LINE_BYTES_MAX - 1]), Ok(Outcome::Incomplete));
        assert_eq!(parse(&endless.as_bytes()[..LINE_BYTES_MAX]), Err(BadHeader::TooLong));
        assert_eq!(parse(format!("{endless}\r\n").as_bytes()), Err(BadHeader::TooLong));
        assert_eq!(LINE_MAX.len(), 104, "the longest line that has a meaning is within the limit");
    }

    #[test]
    fn a_bad_binary_header_is_refused() {
        let cases = [
            (binary(0x11, 0x11, IPV4), BadHeader::BadCommand),
            (binary(0x31, 0x11, IPV4), BadHeader::BadCommand),
            (binary(0x22, 0x11, IPV4), BadHeader::BadCommand),
            (binary(0x21, 0x41, IPV4), BadHeader::BadFamily),
            (binary(0x21, 0x13, IPV4), BadHeader::BadFamily),
            (binary(0x20, 0xff, &[]), BadHeader::BadFamily),
            (binary(0x21, 0x11, &IPV4[..7]), BadHeader::BadLength),
            (binary(0x21, 0x11, &IPV4[..11]), BadHeader::BadLength),
            (binary(0x21, 0x21, &ipv6()[..15]), BadHeader::BadLength),
            (binary(0x21, 0x21, &ipv6()[..35]), BadHeader::BadLength),
            (binary(0x21, 0x31, &[7; 215]), BadHeader::BadLength),
            (binary(0x21, 0x11, &[0; HEADER_BYTES_MAX - PREAMBLE_BYTES + 1]), BadHeader::TooLong),
            (binary(0x21, 0x11, &[0; 0xffff])[..PREAMBLE_BYTES].to_vec(), BadHeader::TooLong),
        ];
        for (header, expected) in cases {
            assert_eq!(parse(&header), Err(expected), "{header:?}");
        }
        for index in 0..SIGNATURE.len() {
            let mut header = binary(0x21, 0x11, IPV4);
            header[index] ^= 1;
            assert_eq!(parse(&header), Err(BadHeader::Missing), "byte {index} of the signature");
            assert_eq!(parse(&header[..=index]), Err(BadHeader::Missing), "at once");
        }
    }

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    async fn read(stream: &TcpStream) -> io::Result<Option<SocketAddr>> {
        let reading = read_source(stream);
        tokio::time::timeout(Duration::from_secs(10), reading).await.expect("reading a header hung")
    }

    #[tokio::test]
    async fn what_follows_a_header_is_left_in_the_connection() {
        for (header, source) in good() {
            let (mut client, mut server) = connected().await;
            client.write_all(&[&header[..], b"GET /"].concat()).await.unwrap();
            drop(client);
            assert_eq!(read(&server).await.unwrap(), source.map(|text| text.parse().unwrap()));
            let mut rest = String::new();
            server.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest, "GET /");
        }
    }

    #[tokio::test]
    async fn a_header_may_come_byte_by_byte() {
        for (header, source) in good().into_iter().filter(|(header, _)| header.len() < 300) {
            let (mut client, mut server) = connected().await;
            let writing = async {
                for byte in &header {
                    client.write_u8(*byte).await.unwrap();
                    tokio::task::yield_now().await;
                }
                client.write_all(b"rest").await.unwrap();
                drop(client);
            };
            let (_, read) = tokio::join!(writing, read(&server));
            assert_eq!(read.unwrap(), source.map(|text| text.parse().unwrap()));
            let mut rest = String::new();
            server.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest, "rest");
        }
    }

    #[tokio::test]
    async fn a_connection_without_a_whole_header_is_an_error() {
        let cases = [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], io::ErrorKind::InvalidData),
            (b"PROXY TCP4 192.0", io::ErrorKind::UnexpectedEof),
            (b"", io::ErrorKind::UnexpectedEof),
        ];
        for (bytes, expected) in cases {
            let (mut client, server) = connected().await;
            client.write_all(bytes).await.unwrap();
            drop(client);
            assert_eq!(read(&server).await.unwrap_err().kind(), expected);
        }
    }
}

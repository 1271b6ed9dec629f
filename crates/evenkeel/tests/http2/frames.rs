//! HTTP/2 by hand, for clients and replicas that do what no library would.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::rig::PATIENCE;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const ACK: u8 = 1;

#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as literals that nobody has to remember.
pub(crate) fn fields(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_bytes(), value] {
            // An integer with a prefix of 7 bits: RFC 7541, 5.1.
            let mut length = text.len();
            if length < 127 {
                block.push(length as u8);
            } else {
                block.push(127);
                length -= 127;
                while length >= 128 {
                    block.push((length % 128) as u8 | 128);
                    length /= 128;
                }
                block.push(length as u8);
            }
            block.extend_from_slice(text);
        }
    }
    block
}

/// The fields of a request, with more behind them.
pub(crate) fn ask(method: &str, path: &str, more: &[(&str, &[u8])]) -> Vec<u8> {
    let pseudo: [(&str, &[u8]); 4] = [
        (":method", method.as_bytes()),
        (":scheme", b"http"),
        (":path", path.as_bytes()),
        (":authority", b"h"),
    ];
    fields(&[&pseudo[..], more].concat())
}

/// One end of a connection.
pub(crate) struct Frames {
    pub(crate) stream: TcpStream,
}

impl Frames {
    /// As a client who has said hello.
    pub(crate) fn to(address: SocketAddr) -> Self {
        let mut frames = Self::over(TcpStream::connect(address).unwrap());
        frames.say(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        frames
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// The other side may have hung up already, which the next look at what it says shows.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next frame; none at the end of the connection.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        match self.stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("nothing comes"),
            Err(_) => return None,
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let frame = Frame { kind: head[3], flags: head[4], stream, payload };
        // Whoever waits for its settings to be seen, and for a sign of life, gets them.
        if frame.kind == SETTINGS && frame.flags & ACK == 0 {
            self.say(&self::frame(SETTINGS, ACK, 0, &[]));
        }
        if frame.kind == PING && frame.flags & ACK == 0 {
            self.say(&self::frame(PING, ACK, 0, &frame.payload));
        }
        Some(frame)
    }

    /// The next frame of this kind, whatever comes before it.
    pub(crate) fn next_of(&mut self, kind: u8) -> Option<Frame> {
        std::iter::from_fn(|| self.next()).find(|frame| frame.kind == kind)
    }

    /// What becomes of a stream: a status, a reset with its reason, or the end of the connection.
    pub(crate) fn outcome(&mut self, stream: u32) -> Outcome {
        self.outcomes(&[stream])[0]
    }

    /// The same of several, in whatever order it becomes known.
    pub(crate) fn outcomes(&mut self, streams: &[u32]) -> Vec<Outcome> {
        let mut known = vec![None; streams.len()];
        let mut end = Outcome::Ended;
        while known.contains(&None) {
            let Some(frame) = self.next() else { break };
            let outcome = match frame.kind {
                HEADERS => Outcome::Status(status(&frame.payload)),
                RST_STREAM => Outcome::Reset(number(&frame.payload)),
                GOAWAY if number(&frame.payload[4..]) != 0 => {
                    end = Outcome::GoneAway(number(&frame.payload[4..]));
                    break;
                }
                _ => continue,
            };
            if let Some(place) = streams.iter().position(|stream| *stream == frame.stream) {
                known[place].get_or_insert(outcome);
            }
        }
        known.into_iter().map(|outcome| outcome.unwrap_or(end)).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Status(u16),
    Reset(u32),
    GoneAway(u32),
    Ended,
}

pub(crate) fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

/// The status at the beginning of a block of fields: from the static table, or three digits by Huffman.
pub(crate) fn status(block: &[u8]) -> u16 {
    const KNOWN: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    // A change of the table's size may come first.
    let block = &block[block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap()..];
    if block[0] & 0x80 != 0 {
        return KNOWN[usize::from(block[0] & 0x7f) - 8];
    }
    let length = usize::from(block[1] & 0x7f);
    let text = &block[2..2 + length];
    if block[1] & 0x80 == 0 {
        return std::str::from_utf8(text).unwrap().parse().unwrap();
    }
    let mut bits = text.iter().flat_map(|byte| (0..8).rev().map(move |place| u16::from(byte >> place & 1)));
    let mut take = |count: usize| bits.by_ref().take(count).fold(0, |number, bit| number * 2 + bit);
    (0..3).fold(0, |status, _| {
        let short = take(5);
        let digit = if short <= 2 { short } else { short * 2 + take(1) - 0x19 + 3 };
        status * 10 + digit
    })
}

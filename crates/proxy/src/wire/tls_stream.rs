//! An encrypted connection of a client. It holds no memory for bytes while none are under way: what comes
//! is decrypted, and what goes is encrypted, in a place that all connections of a worker share, and only what
//! the other end has not sent whole, or does not take, is kept with the connection.
//!
//! The session itself is rustls's; this carries its bytes. Whom to believe is decided elsewhere. It stands
//! in for tokio-rustls because the buffered interface of rustls keeps 4 KiB for what may come, for as long as
//! a connection lasts.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How much is encrypted at a time, so that one look at the socket sends it.
const PIECE: usize = 64 << 10;
/// How much may come at a time: as much as a record, so that little is kept for whoever does not go on.
const TAKEN: usize = 16 << 10;
/// Room for what is kept of a message (RFC 8446 and rustls know none of more than 64 KiB), a piece, and what
/// encryption adds to it.
const PLACE: usize = 160 << 10;

/// The longest method that somebody may have who speaks plain HTTP where TLS is spoken.
const METHOD_MAX: usize = 16;
/// What they are told.
const PLAIN_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\
    content-length: 44\r\n\r\nTLS is spoken here: the address is https://\n";

thread_local! {
    static SHARED: RefCell<Box<[u8]>> = RefCell::new(vec![0; PLACE].into_boxed_slice());
}

/// What handshakes go by.
#[derive(Debug)]
pub(crate) struct Configs {
    pub(crate) usual: Arc<ServerConfig>,
    /// For a client that offers only protocols that nobody here knows. It may not insist on them, and those who
    /// do hang up themselves: RFC 7301 has an alert for it, which older and odd clients do not survive.
    pub(crate) without_protocols: Arc<ServerConfig>,
}

/// A stream of bytes in each direction, encrypted on the way.
pub(crate) struct TlsStream {
    socket: TcpStream,
    session: UnbufferedServerConnection,
    /// What has come of a record, or of a message in several of them, that is not whole.
    incoming: Vec<u8>,
    decrypted: Kept,
    encrypted: Kept,
    /// The other side has said that it sends nothing more.
    is_ended: bool,
    has_said_goodbye: bool,
    /// Until it is certain that it is not needed.
    retry: Option<Box<Retry>>,
}

/// What it takes to begin the handshake again where the client offers no protocol that is known here.
struct Retry {
    config: Arc<ServerConfig>,
    /// All that has come.
    bytes: Vec<u8>,
}

/// Bytes that wait to be taken. Without any there is no memory.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    taken: usize,
}

impl TlsStream {
    /// The handshake, as the server. It has no time limit of its own.
    pub(crate) async fn accept(socket: TcpStream, configs: &Configs) -> io::Result<Self> {
        let session = begin(&configs.usual)?;
        let retry = Retry { config: Arc::clone(&configs.without_protocols), bytes: Vec::new() };
        let mut stream = Self {
            socket,
            session,
            incoming: Vec::new(),
            decrypted: Kept::default(),
            encrypted: Kept::default(),
            is_ended: false,
            has_said_goodbye: false,
            retry: Some(Box::new(retry)),
        };
        poll_fn(|context| stream.poll_handshake(context)).await?;
        Ok(stream)
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The certificate of the client, if it has shown one; then it was found to be good, now or when the session
    /// began that this one goes on with.
    pub(crate) fn client_certificate(&self) -> Option<&[u8]> {
        self.session.peer_certificates()?.first().map(AsRef::as_ref)
    }

    /// The protocol that the handshake agreed on.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.session.alpn_protocol()
    }

    /// How much memory it holds for bytes.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.incoming.capacity() + self.decrypted.bytes.capacity() + self.encrypted.bytes.capacity()
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.is_handshaking() {
            ready!(self.poll_flush(context))?;
            ready!(self.poll_take_in(context))?;
        }
        self.poll_flush(context)
    }

    /// Receives; nothing at the end.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        while self.decrypted.is_empty() && !self.is_ended {
            // What the session has to answer leaves when it can; what comes need not wait for it.
            if let Poll::Ready(Err(error)) = self.poll_flush(context) {
                return Poll::Ready(Err(error));
            }
            ready!(self.poll_take_in(context))?;
        }
        let left = self.decrypted.left();
        let count = left.len().min(bytes.len());
        bytes[..count].copy_from_slice(&left[..count]);
        self.decrypted.take(count);
        Poll::Ready(Ok(count))
    }

    /// Receives and forgets some of what is there; nothing at the end.
    pub(crate) fn poll_forget(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SHARED.with_borrow_mut(|place| {
            let mut room = ReadBuf::new(place);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut room))?;
            Poll::Ready(Ok(room.filled().len()))
        })
    }

    /// Sends some of two pieces, which are not both empty, or keeps it to be sent.
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(context))?;
        let first = &first[..first.len().min(PIECE)];
        let second = &second[..second.len().min(PIECE - first.len())];
        SHARED.with_borrow_mut(|place| {
            let mut length = 0;
            for piece in [first, second].into_iter().filter(|piece| !piece.is_empty()) {
                length += self.encrypt(piece, &mut place[length..])?;
            }
            let mut sent = 0;
            while sent < length {
                match Pin::new(&mut self.socket).poll_write(context, &place[sent..length]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(count) => sent += count?,
                    Poll::Pending => break,
                }
            }
            self.encrypted.keep(&place[sent..length]);
            Poll::Ready(Ok(first.len() + second.len()))
        })
    }

    /// Sends what is kept.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.encrypted.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(context, self.encrypted.left()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.encrypted.take(count),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Says that nothing more will be sent.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.has_said_goodbye, true) {
            SHARED.with_borrow_mut(|place| self.say_goodbye(place))?;
        }
        ready!(self.poll_flush(context))?;
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    /// Receives what is there and lets the session see it.
    fn poll_take_in(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        SHARED.with_borrow_mut(|place| {
            let kept = self.incoming.len();
            let room_end = place.len().min(kept + TAKEN);
            let room = &mut place[kept.min(room_end)..room_end];
            if room.is_empty() {
                return Poll::Ready(Err(io::Error::other("more came than one message may be")));
            }
            let mut room = ReadBuf::new(room);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut room))?;
            let end = kept + room.filled().len();
            if end == kept {
                // Without a farewell, what has come may not be all there was.
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let is_first = self.retry.as_ref().is_some_and(|retry| retry.bytes.is_empty());
            let is_plain_http = is_first && begins_plain_http(&place[kept..end]);
            if let Some(retry) = &mut self.retry {
                retry.bytes.extend_from_slice(&place[kept..end]);
            }
            place[..kept].copy_from_slice(&self.incoming);
            let (mut start, mut end) = (0, end);
            let mut outcome = self.go_on(&mut place[..end], &mut start, |_| Ok(0));
            if let Some(retry) = self.retry.take_if(|_| is_about_protocols(&outcome)) {
                self.session = begin(&retry.config)?;
                self.encrypted = Kept::default();
                (start, end) = (0, retry.bytes.len());
                place[..end].copy_from_slice(&retry.bytes);
                outcome = self.go_on(&mut place[..end], &mut start, |_| Ok(0));
            }
            // What it has an answer to need not be read again.
            if !self.encrypted.is_empty() {
                self.retry = None;
            }
            self.incoming = place[start..end].to_vec();
            match &outcome {
                Ok(_) => {}
                Err(_) if is_plain_http => self.answer_plainly(context),
                Err(_) => self.send_alert(context),
            }
            Poll::Ready(outcome.map(drop))
        })
    }

    /// Encrypts into this place; how long that is.
    fn encrypt(&mut self, bytes: &[u8], place: &mut [u8]) -> io::Result<usize> {
        self.write_in_turn(|traffic| traffic.encrypt(bytes, place))
    }

    fn say_goodbye(&mut self, place: &mut [u8]) -> io::Result<()> {
        let length = self.write_in_turn(|traffic| traffic.queue_close_notify(place))?;
        self.encrypted.keep(&place[..length]);
        Ok(())
    }

    /// Writes behind all that the session has to say by itself.
    fn write_in_turn(
        &mut self,
        write: impl FnMut(&mut WriteTraffic<'_, ServerConnectionData>) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        // It goes by where in this it has come to.
        let mut incoming = std::mem::take(&mut self.incoming);
        let mut done = 0;
        let written = self.go_on(&mut incoming, &mut done, write);
        incoming.drain(..done);
        self.incoming = incoming;
        match written {
            Ok(0) => Err(io::ErrorKind::NotConnected.into()),
            written => written,
        }
    }

    /// Lets the session do all that it can with what has come, and then write, if it may; what that comes to.
    /// `done` is how much of what has come is done with.
    fn go_on(
        &mut self,
        incoming: &mut [u8],
        done: &mut usize,
        mut write: impl FnMut(&mut WriteTraffic<'_, ServerConnectionData>) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        loop {
            let UnbufferedStatus { discard, state } =
                self.session.process_tls_records(&mut incoming[*done..]);
            *done += discard;
            match state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(io::Error::other)?;
                        *done += record.discard;
                        self.decrypted.keep(record.payload);
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => encode(&mut data, &mut self.encrypted)?,
                // It leaves in its turn.
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.is_ended = true,
                ConnectionState::WriteTraffic(mut traffic) => {
                    return write(&mut traffic).map_err(io::Error::other);
                }
                ConnectionState::BlockedHandshake | ConnectionState::Closed => return Ok(0),
                // Nobody is allowed to send early data, and what else there may be one day was not asked for.
                _ => return Err(io::ErrorKind::Unsupported.into()),
            }
        }
    }

    /// Whoever speaks plain HTTP here would not understand an alert.
    fn answer_plainly(&mut self, context: &mut Context<'_>) {
        self.encrypted = Kept::default();
        self.encrypted.keep(PLAIN_ANSWER);
        let _ = self.poll_flush(context);
        let _ = Pin::new(&mut self.socket).poll_shutdown(context);
    }

    /// Tells the other end what it did wrong, if the session has a word for it and there is room in the socket.
    fn send_alert(&mut self, context: &mut Context<'_>) {
        // Only what it has to say: it must not look at anything more.
        while self.session.wants_write() {
            let said = match self.session.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut data, &mut self.encrypted).is_ok()
                }
                Ok(ConnectionState::ReadTraffic(mut traffic)) => traffic.next_record().is_some(),
                _ => false,
            };
            if !said {
                return;
            }
        }
        let _ = self.poll_flush(context);
    }
}

/// Whether this is how a request without TLS begins: with a method.
fn begins_plain_http(bytes: &[u8]) -> bool {
    let method = bytes.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    (3..=METHOD_MAX).contains(&method) && bytes[method..].starts_with(b" ")
}

fn begin(config: &Arc<ServerConfig>) -> io::Result<UnbufferedServerConnection> {
    UnbufferedServerConnection::new(Arc::clone(config)).map_err(io::Error::other)
}

/// Whether a handshake failed because the client offers no protocol that is known here.
fn is_about_protocols(outcome: &io::Result<usize>) -> bool {
    let inner = outcome.as_ref().err().and_then(io::Error::get_ref);
    matches!(inner.and_then(|inner| inner.downcast_ref()), Some(rustls::Error::NoApplicationProtocol))
}

fn encode(data: &mut EncodeTlsData<'_, ServerConnectionData>, encrypted: &mut Kept) -> io::Result<()> {
    let length = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(missing)) => missing.required_size,
        Err(error) => return Err(io::Error::other(error)),
        Ok(length) => length,
    };
    data.encode(encrypted.room(length)).map(drop).map_err(io::Error::other)
}

impl Kept {
    fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    fn left(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// So many more bytes, to be written to.
    fn room(&mut self, length: usize) -> &mut [u8] {
        let end = self.bytes.len();
        self.bytes.resize(end + length, 0);
        &mut self.bytes[end..]
    }

    fn take(&mut self, count: usize) {
        self.taken += count;
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

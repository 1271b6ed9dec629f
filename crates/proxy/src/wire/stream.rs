//! The bytes of a connection, whatever carries them.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustix::pipe::{SpliceFlags, splice};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::wire::pipe::Pipe;
use crate::wire::tls_stream::TlsStream;

/// A stream of bytes in each direction.
pub(crate) enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

impl Wire {
    /// Receives into a buffer that is not empty; nothing at the end.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(bytes);
        ready!(match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, &mut buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, &mut buffer),
            Self::Tls(stream) => return stream.poll_read(context, bytes),
        })?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Whether something has come, or the other side has gone. It may have been taken already.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
            Self::Unix(stream) => stream.poll_read_ready(context),
            Self::Tls(stream) => stream.socket().poll_read_ready(context),
        }
    }

    /// Sends some of two pieces, which are not both empty.
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let slices = [IoSlice::new(first), IoSlice::new(second)];
        // One piece goes the shorter way through the kernel.
        let is_one = second.is_empty();
        let written = ready!(match self {
            Self::Tls(stream) => stream.poll_write(context, first, second),
            Self::Tcp(stream) if is_one => Pin::new(stream).poll_write(context, first),
            Self::Unix(stream) if is_one => Pin::new(stream).poll_write(context, first),
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, &slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, &slices),
        });
        Poll::Ready(match written {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            other => other,
        })
    }

    /// Sends what lies between us and the network.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            // The kernel has it.
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => stream.poll_flush(context),
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => stream.poll_shutdown(context),
        }
    }

    /// Tells the other side, before this is dropped, that what it has was all, where the kernel does not do that
    /// by itself. That is not waited for.
    pub(crate) fn say_goodbye(&mut self, context: &mut Context<'_>) {
        if let Self::Tls(stream) = self {
            let _ = stream.poll_shutdown(context);
        }
    }

    /// Whether its bytes lie in the kernel as they are meant.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Unix(_))
    }

    /// Receives into a pipe, without looking; nothing at the end.
    pub(crate) fn poll_splice_in(
        &self,
        context: &mut Context<'_>,
        pipe: &Pipe,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            let splice = || splice_some(self, &pipe.writer, most);
            let moved = match self {
                Self::Tcp(stream) => {
                    ready!(stream.poll_read_ready(context))?;
                    stream.try_io(Interest::READABLE, splice)
                }
                Self::Unix(stream) => {
                    ready!(stream.poll_read_ready(context))?;
                    stream.try_io(Interest::READABLE, splice)
                }
                Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
            };
            if !matches!(&moved, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                return Poll::Ready(moved);
            }
        }
    }

    /// Sends from a pipe.
    pub(crate) fn poll_splice_out(
        &self,
        context: &mut Context<'_>,
        pipe: &Pipe,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            let splice = || splice_some(&pipe.reader, self, most);
            let moved = match self {
                Self::Tcp(stream) => {
                    ready!(stream.poll_write_ready(context))?;
                    stream.try_io(Interest::WRITABLE, splice)
                }
                Self::Unix(stream) => {
                    ready!(stream.poll_write_ready(context))?;
                    stream.try_io(Interest::WRITABLE, splice)
                }
                Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
            };
            if !matches!(&moved, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                return Poll::Ready(moved);
            }
        }
    }

    /// Whether dropping it will tell the other side that something went wrong.
    pub(crate) fn reset_when_closed(&self, is_wrong: bool) {
        // On a socket that is gone already there is nothing to tell.
        let _ = SockRef::from(self).set_linger(is_wrong.then_some(Duration::ZERO));
    }

    /// Asks the kernel whether the other side has reset the connection.
    pub(crate) fn is_reset(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        !matches!(recv(self.as_fd(), &mut [0_u8; 1], flags), Ok(_) | Err(Errno::AGAIN))
    }

    /// Asks the kernel whether the other side has neither sent anything nor hung up. An idle connection
    /// to a replica for which that is so takes a request that must not be sent twice.
    pub(crate) fn is_silent(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(recv(self.as_fd(), &mut [0_u8; 1], flags), Err(Errno::AGAIN))
    }
}

fn splice_some(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(splice(from, None, to, None, most, flags)?)
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.socket().as_fd(),
        }
    }
}

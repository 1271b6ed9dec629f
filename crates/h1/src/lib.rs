//! HTTP/1 heads and bodies, read and written strictly, without input or output.
//!
//! What two readers could understand differently is an error here, never a guess. Nothing in this
//! room waits, reads a clock or knows of connections: it is given bytes and says what they mean.
//! RFC 9110 and RFC 9112 are the source; where they leave a choice, ours is the stricter one.
//!
//! ```
//! use h1::{BodyLength, HeadEnd, HeadLimits, RequestHead};
//!
//! let limits = HeadLimits::default();
//! let bytes = b"POST /buy?n=1 HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 2\r\n\r\nok";
//! let end = HeadEnd::default().find(bytes, &limits)?.expect("the head is whole");
//! let mut head = RequestHead::default();
//! head.parse(&bytes[..end], &limits)?;
//! assert_eq!((head.path(), head.host()), (&b"/buy"[..], Some(&b"shop.example"[..])));
//! assert_eq!(head.body(), BodyLength::Exact(2));
//! # Ok::<(), h1::BadHead>(())
//! ```
//!
//! # Why a codec of our own
//!
//! hyper's parser accepts bare line feeds and drops one of two lengths before anybody above it could
//! object, its server cannot send 1xx, and its tasks and channels cost half of what a proxy may cost.
//! This one has no I/O and no `unsafe`, refuses what two readers could read differently, and is compared
//! with httparse, hyper and a plain decoder on generated input, every difference named; `fuzz/` goes on
//! from there. HTTP/2's frames are
//! the `h2` crate's, its heads go by the same rules as those of HTTP/1 (`http2.rs`). hyper serves the admin API and the demo replica, where neither
//! matters.

mod characters;
mod fault;
mod limits;

mod fields;
mod head_end;
mod name;

mod connection;
mod length;
mod method;
mod version;

mod request;
mod request_line;
mod http2;
mod lines;
mod response;
mod path;
mod target;

mod body;
mod chunked;
mod look;
mod write;

pub use body::BodyReader;
pub use fault::BadHead;
pub use fields::{Field, Fields};
pub use head_end::HeadEnd;
pub use http2::{Http2Head, Http2Trailers};
pub use length::BodyLength;
pub use limits::{HeadLimits, Underscores};
pub use look::{BadBody, Look};
pub use method::Method;
pub use name::FieldName;
pub use path::{OddPath, normal_path, widest_path};
pub use request::RequestHead;
pub use response::ResponseHead;
pub use version::Version;
pub use write::{CHUNK_END, write_chunk_size, write_decimal, write_field};

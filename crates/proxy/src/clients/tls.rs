//! TLS on client connections: handshakes, and certificates that are replaced while
//! connections are made. It never asks what travels inside, and never shows what a key file holds.

pub(crate) mod settings;

mod certificates;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpStream;

use certificates::Certificates;
use settings::{TlsError, TlsSettings, TlsVersion};

use crate::stamp::Stamp;
use crate::wire::tls_stream::{Configs, TlsStream};

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";
const HTTP_1_0: &[u8] = b"http/1.0";

/// The server side of TLS. Clones share the certificates and the keys of session tickets, so that
/// a client resumes its session with whichever worker it meets.
#[derive(Clone, Debug)]
pub struct TlsServer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: TlsSettings,
    current: ArcSwap<Configs>,
    seen: Mutex<Seen>,
}

/// What the files looked like.
#[derive(Debug)]
struct Seen {
    /// When those in use were loaded.
    loaded: Vec<Option<Stamp>>,
    /// When they were found unusable, so that one state of them is complained about once.
    refused: Option<Vec<Option<Stamp>>>,
}

/// What a look at the files led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Unchanged,
    Replaced,
    /// The files are unusable and the old ones stay in use; said in the log.
    Refused,
    /// The same, and nothing has changed since it was said.
    StillRefused,
}

impl TlsServer {
    /// Reads all files. Certificates that have expired are used, and complained about in the log.
    pub fn load(settings: &TlsSettings) -> Result<Self, TlsError> {
        let loaded = stamps(settings);
        let current = ArcSwap::from_pointee(configure(settings)?);
        let seen = Mutex::new(Seen { loaded, refused: None });
        Ok(Self { shared: Arc::new(Shared { settings: settings.clone(), current, seen }) })
    }

    /// Starts a thread that looks at the files every second and uses new ones once all of them
    /// together are good. Those in use until then stay so; connections that exist are not touched.
    /// It ends when the last clone of this server is gone.
    pub fn watch(&self) -> io::Result<()> {
        self.watch_every(LOOK_INTERVAL)
    }

    /// Reads all files anew, now. After an error the old ones stay in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.shared.reload()
    }

    /// The handshake. It has no time limit of its own, and dropping it closes the connection.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream> {
        TlsStream::accept(stream, &self.shared.current.load_full()).await
    }

    fn watch_every(&self, interval: Duration) -> io::Result<()> {
        let shared = Arc::downgrade(&self.shared);
        let look = move || {
            while let Some(shared) = shared.upgrade() {
                shared.look();
                drop(shared);
                thread::sleep(interval);
            }
        };
        thread::Builder::new().name("certificates".to_string()).spawn(look).map(drop)
    }
}

/// What an operator should read about a handshake that failed.
pub(crate) fn explained(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(error) if settings::is_of_version_1(error) => {
            format!("the client's certificate {}", settings::VERSION_1)
        }
        _ => error.to_string(),
    }
}

/// Whether the handshake agreed on HTTP/2.
pub(crate) fn is_http2(stream: &TlsStream) -> bool {
    stream.protocol() == Some(HTTP_2)
}

impl Shared {
    fn look(&self) -> Look {
        let now = stamps(&self.settings);
        let is_refused_already = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.loaded == now {
                return Look::Unchanged;
            }
            seen.refused.as_ref() == Some(&now)
        };
        // Also what was refused is read again: what was missing may have been a descriptor of ours.
        match self.reload() {
            Ok(()) => Look::Replaced,
            Err(_) if is_refused_already => Look::StillRefused,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "new certificates are not used, the old ones still are");
                self.seen.lock().unwrap_or_else(PoisonError::into_inner).refused = Some(now);
                Look::Refused
            }
        }
    }

    fn reload(&self) -> Result<(), TlsError> {
        // Looked at before it is read: a write between the two is found by the next look.
        let loaded = stamps(&self.settings);
        let config = configure(&self.settings)?;
        self.current.store(Arc::new(config));
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen { loaded, refused: None };
        tracing::info!("new handshakes use new certificates");
        Ok(())
    }
}

fn stamps(settings: &TlsSettings) -> Vec<Option<Stamp>> {
    let pairs = settings.certificates.iter().flat_map(|files| [&files.certificate, &files.key]);
    pairs.chain(&settings.client_authority).map(|file| Stamp::of(file)).collect()
}

/// All that a handshake goes by. Each has its own ticket keys: a client whose certificate comes
/// from an authority that was replaced cannot go on with its old session.
fn configure(settings: &TlsSettings) -> Result<Configs, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certificates = Certificates::load(&settings.certificates, &provider)?;
    let versions = match settings.oldest_version {
        TlsVersion::Tls12 => vec![&TLS13, &TLS12],
        TlsVersion::Tls13 => vec![&TLS13],
    };
    let client_verifier = client_verifier(settings, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)?
        .with_client_cert_verifier(client_verifier)
        .with_cert_resolver(Arc::new(certificates));
    if settings.is_http2 {
        config.alpn_protocols.push(HTTP_2.to_vec());
    }
    config.alpn_protocols.extend([HTTP_1, HTTP_1_0].map(<[u8]>::to_vec));
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    // Requests in the first flight can be sent again by whoever recorded them.
    config.max_early_data_size = 0;
    let mut without_protocols = config.clone();
    without_protocols.alpn_protocols.clear();
    Ok(Configs { usual: Arc::new(config), without_protocols: Arc::new(without_protocols) })
}

fn client_verifier(
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let Some(file) = &settings.client_authority else {
        let is_required = settings.is_client_certificate_required;
        return if is_required {
            Err(TlsError::NoAuthority)
        } else {
            Ok(WebPkiClientVerifier::no_client_auth())
        };
    };
    let roots = Arc::new(certificates::read_authority(file)?);
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    if !settings.is_client_certificate_required {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| TlsError::BadCertificate { file: file.clone(), source: error.into() })
}

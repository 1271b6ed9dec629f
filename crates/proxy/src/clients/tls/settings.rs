//! What an operator decides about TLS, and why there may be none with it. No file is read here.

use std::io;
use std::path::PathBuf;

use rustls::CertificateError;

/// What is said of a certificate of version 1.
pub(crate) const VERSION_1: &str = "is of X.509 version 1, which has no room for names; one of version 3 is needed: \
    with `openssl x509 -req`, add `-copy_extensions copy`, or `-extfile FILE` with a line \
    `subjectAltName=DNS:NAME`";

/// Whether this is what a certificate of version 1 leads to.
pub(crate) fn is_of_version_1(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::UnsupportedCertVersion))
}

/// How client connections are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// At least one. A client gets the first that has the name that it asks for, or else the first.
    pub certificates: Vec<CertificateFiles>,
    /// Certificates, as PEM, of those who vouch for clients; without it nobody is asked for any.
    pub client_authority: Option<PathBuf>,
    /// Whether a client without a certificate is refused. One with a wrong certificate always is.
    pub is_client_certificate_required: bool,
    /// What older clients are refused by.
    pub oldest_version: TlsVersion,
    /// Whether HTTP/2 is offered, and preferred.
    pub is_http2: bool,
}

/// A certificate and its key, both as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and after it those that lead to one that clients know.
    pub certificate: PathBuf,
    /// Its private key, not encrypted.
    pub key: PathBuf,
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2, of 2008.
    Tls12,
    /// TLS 1.3, of 2018.
    Tls13,
}

/// Why there is no TLS with these settings or files. Never holds a part of a file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Nothing to show to clients.
    #[error("TLS needs a certificate and its key")]
    NoFiles,
    /// Nobody whom clients' certificates could come from.
    #[error("client certificates are required, but no authority says which ones are good")]
    NoAuthority,
    /// A file is missing, or not ours to read.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// Which one.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {problem}", file.display())]
    BadFile {
        /// Which one.
        file: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A certificate that we cannot use.
    #[error("cannot use the certificate in {}", file.display())]
    BadCertificate {
        /// Where it is.
        file: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A certificate of a version that has no room for host names.
    #[error("the certificate in {} {VERSION_1}", file.display())]
    OldCertificate {
        /// Where it is.
        file: PathBuf,
    },
    /// A key of a kind or size that we cannot use.
    #[error(
        "cannot use the key in {} (RSA of 2048 bits or more, ECDSA with P-256, P-384 or P-521, and Ed25519 are \
         known here)", file.display()
    )]
    BadKey {
        /// Where it is.
        file: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// Two files that do not belong together.
    #[error("the key in {} does not fit the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// Where the key is.
        key: PathBuf,
        /// Where the certificate is.
        certificate: PathBuf,
    },
    /// The library refused all of it together.
    #[error("TLS cannot be set up")]
    Library(#[from] rustls::Error),
}

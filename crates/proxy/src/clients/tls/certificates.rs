//! Certificates and keys: read from files, checked, and chosen by the name that a client asks for.
//! No text that leaves this file holds a part of what was read.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use webpki::{EndEntityCert, KeyUsage};

use super::settings::{CertificateFiles, TlsError, is_of_version_1};

/// The most that one file may hold; a chain of certificates takes some ten thousand bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What files may begin with that some editors wrote.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Several may share a name, say one with an elliptic curve and one with RSA for older clients.
type Candidates = Vec<Arc<CertifiedKey>>;

/// Certificates with their keys, by name.
#[derive(Debug)]
pub(super) struct Certificates {
    by_name: HashMap<String, Candidates>,
    /// By what follows `*.` in the name.
    by_wildcard: HashMap<String, Candidates>,
    /// For clients that ask for no name, or for one that nobody has.
    first: Arc<CertifiedKey>,
}

impl Certificates {
    pub(super) fn load(
        certificates: &[CertificateFiles],
        provider: &CryptoProvider,
    ) -> Result<Self, TlsError> {
        let loaded = certificates.iter().map(|files| load_one(files, provider));
        let loaded = loaded.collect::<Result<Vec<Loaded>, TlsError>>()?;
        let first = loaded.first().map(|loaded| Arc::clone(&loaded.key)).ok_or(TlsError::NoFiles)?;
        let mut all = Self { by_name: HashMap::new(), by_wildcard: HashMap::new(), first };
        for Loaded { key, names } in loaded {
            for name in names {
                let candidates = match name.strip_prefix("*.") {
                    Some(rest) => all.by_wildcard.entry(rest.to_string()).or_default(),
                    None => all.by_name.entry(name).or_default(),
                };
                candidates.push(Arc::clone(&key));
            }
        }
        Ok(all)
    }

    fn named(&self, name: &str) -> Option<&[Arc<CertifiedKey>]> {
        // A wildcard stands for one label, no more and no less.
        let by_wildcard = || self.by_wildcard.get(name.split_once('.')?.1);
        self.by_name.get(name).or_else(by_wildcard).map(Vec::as_slice)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // The library has made the name lower case.
        let named = hello.server_name().and_then(|name| self.named(name));
        let candidates = named.unwrap_or(std::slice::from_ref(&self.first));
        let fits = |one: &&Arc<CertifiedKey>| one.key.choose_scheme(hello.signature_schemes()).is_some();
        candidates.iter().find(fits).or(candidates.first()).cloned()
    }
}

struct Loaded {
    key: Arc<CertifiedKey>,
    /// In lower case.
    names: Vec<String>,
}

fn load_one(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Loaded, TlsError> {
    let chain = read_certificates(&files.certificate)?;
    let key = read_key(&files.key)?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|source| match source {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Mismatch { key: files.key.clone(), certificate: files.certificate.clone() }
        }
        ref error if is_of_version_1(error) => TlsError::OldCertificate { file: files.certificate.clone() },
        rustls::Error::InvalidCertificate(_) => bad_certificate(&files.certificate, source),
        _ => TlsError::BadKey { file: files.key.clone(), source },
    })?;
    let certificate = key.end_entity_cert()?;
    let certificate =
        EndEntityCert::try_from(certificate).map_err(|error| bad_certificate(&files.certificate, error))?;
    let file = files.certificate.display();
    if let Some(trouble) = trouble_with_dates(&certificate) {
        tracing::warn!(%file, trouble, "clients will not like a certificate");
    }
    let names: Vec<String> = certificate.valid_dns_names().map(str::to_ascii_lowercase).collect();
    if names.is_empty() {
        tracing::warn!(%file, "a certificate is for no host name, and is used only if it is the first");
    }
    Ok(Loaded { key: Arc::new(key), names })
}

/// What is wrong with the dates of a certificate. It is used all the same: some clients go on, and
/// without it none could.
pub(super) fn trouble_with_dates(certificate: &EndEntityCert<'_>) -> Option<&'static str> {
    // Nobody is trusted here, so this always fails; but dates are looked at before trust.
    let (now, usage) = (UnixTime::now(), KeyUsage::server_auth());
    match certificate.verify_for_usage(&[], &[], &[], now, usage, None, None).err()? {
        webpki::Error::CertExpired { .. } => Some("it has expired"),
        webpki::Error::CertNotValidYet { .. } => Some("it is not valid yet"),
        _ => None,
    }
}

/// Those who vouch for clients.
pub(super) fn read_authority(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(file)? {
        roots.add(certificate).map_err(|error| bad_certificate(file, error))?;
    }
    Ok(roots)
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(file)?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| bad_pem(file, &error))?;
    if certificates.is_empty() {
        return Err(bad_file(file, nothing_in(&text, "there is no certificate in it")));
    }
    Ok(certificates)
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(file)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound if contains(&text, b"ENCRYPTED PRIVATE KEY-----") => {
            bad_file(file, "the key in it is encrypted, and nobody is there to type a password")
        }
        pem::Error::NoItemsFound => bad_file(file, nothing_in(&text, "there is no private key in it")),
        error => bad_pem(file, &error),
    })
}

/// Why nothing of what was looked for is in a file, as far as its first bytes say it.
fn nothing_in(text: &[u8], otherwise: &'static str) -> &'static str {
    match text {
        [0x30, 0x80..=0x84, ..] => {
            "it is in the binary form (DER); PEM is needed, as `openssl x509 -inform DER` or `openssl pkey -inform DER` \
             write it"
        }
        _ => otherwise,
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || {
        let mut text = Vec::new();
        fs::File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
        // Some editors put it there, and it hides the first line.
        if text.starts_with(BYTE_ORDER_MARK) {
            text.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(text)
    };
    let text = read().map_err(|source| TlsError::Unreadable { file: file.to_path_buf(), source })?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(bad_file(file, "it is too large for certificates or a key"));
    }
    Ok(text)
}

/// The library's own words would quote the line, and in a key file that has lost its line breaks
/// the line is the key.
fn bad_pem(file: &Path, error: &pem::Error) -> TlsError {
    let problem = match error {
        pem::Error::MissingSectionEnd { .. } => "it ends too early, its END line is missing",
        pem::Error::IllegalSectionStart { .. } => "its BEGIN line is damaged",
        pem::Error::Base64Decode(_) => "it is damaged between its BEGIN and END lines",
        _ => "it is not valid PEM",
    };
    bad_file(file, problem)
}

fn bad_file(file: &Path, problem: &'static str) -> TlsError {
    TlsError::BadFile { file: file.to_path_buf(), problem }
}

fn bad_certificate(file: &Path, source: impl std::error::Error + Send + Sync + 'static) -> TlsError {
    TlsError::BadCertificate { file: file.to_path_buf(), source: Box::new(source) }
}

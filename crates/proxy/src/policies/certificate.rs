//! What replicas hear of the certificate of a client: which of its parts, and in which fields. Nobody else may write
//! any of these, whoever is asked for what.

use std::fmt;

use crate::clients::certificate::ClientCertificate;
use crate::policies::mark::Mark;
use crate::policies::refusal::PolicyAnswer;
use crate::policies::vouched::Vouched;

/// Whether there was a good one: `SUCCESS` or `NONE`, as nginx has it.
const VERIFY_NAME: &str = "x-client-cert-verify";

/// A part of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificatePart {
    /// Whose it is.
    Subject,
    /// Who vouches for it.
    Issuer,
    /// Its number.
    Serial,
    /// Its alternative names.
    Names,
    /// SHA-256 of it.
    Fingerprint,
    /// All of it, as PEM, escaped.
    Pem,
    /// All of it, as RFC 9440 has it.
    Binary,
}

impl CertificatePart {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Subject, Self::Issuer, Self::Serial, Self::Names, Self::Fingerprint, Self::Pem, Self::Binary];

    /// As the configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Issuer => "issuer",
            Self::Serial => "serial",
            Self::Names => "names",
            Self::Fingerprint => "fingerprint",
            Self::Pem => "pem",
            Self::Binary => "rfc9440",
        }
    }

    /// The field that it is told in.
    fn field(self) -> &'static str {
        match self {
            Self::Subject => "x-client-cert-subject",
            Self::Issuer => "x-client-cert-issuer",
            Self::Serial => "x-client-cert-serial",
            Self::Names => "x-client-cert-names",
            Self::Fingerprint => "x-client-cert-fingerprint",
            Self::Pem => "x-client-cert",
            Self::Binary => "client-cert",
        }
    }

    fn tell(self, certificate: &ClientCertificate, vouched: &mut Vouched) {
        let words = match self {
            Self::Subject => certificate.subject(),
            Self::Issuer => certificate.issuer(),
            Self::Serial => certificate.serial(),
            Self::Names => certificate.names(),
            Self::Fingerprint => Some(certificate.fingerprint.as_str()),
            Self::Pem => return vouched.say(self.field(), certificate.escaped().as_bytes()),
            Self::Binary => return vouched.say(self.field(), certificate.binary().as_bytes()),
        };
        if let Some(words) = words {
            vouched.say(self.field(), words.as_bytes());
        }
    }
}

/// Tells these parts of a certificate, or that there is none.
pub(crate) fn tell(
    parts: &[CertificatePart],
    certificate: Option<&ClientCertificate>,
    vouched: &mut Vouched,
) {
    // One that is not asked for is nobody's either.
    CertificatePart::ALL.iter().for_each(|part| vouched.reserve(part.field()));
    vouched.say(VERIFY_NAME, if certificate.is_some() { b"SUCCESS" } else { b"NONE" });
    if let Some(certificate) = certificate {
        parts.iter().for_each(|part| part.tell(certificate, vouched));
    }
}

/// For who has to show one, and has not.
pub(crate) fn missing() -> PolicyAnswer {
    let text = Some("this asks for a certificate of the client".into());
    PolicyAnswer { mark: Mark::CertificateMissing, status: 403, text, fields: Vec::new() }
}

impl fmt::Display for CertificatePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

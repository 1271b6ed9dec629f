//! The certificate that a client has shown in its handshake, and that was found to be good, in the words in which logs
//! and replicas have it. Whatever a certificate says, these words are printable ASCII, and nobody's name in it can
//! pass for a part of somebody else's.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// How many characters a line of PEM has.
const PEM_LINE: usize = 64;

/// A certificate that was verified.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    der: Vec<u8>,
    /// What is in it; nothing if it cannot be read, though it is good.
    words: Option<Words>,
    /// SHA-256 of all of it, hexadecimal.
    pub(crate) fingerprint: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Words {
    subject: String,
    issuer: String,
    serial: String,
    names: String,
}

impl ClientCertificate {
    /// From its binary form.
    pub(crate) fn read(der: &[u8]) -> Self {
        let fingerprint = hex(digest(&SHA256, der).as_ref());
        Self { der: der.to_owned(), words: Words::read(der), fingerprint }
    }

    /// Whose it is: a distinguished name as in RFC 4514.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.words.as_ref().map(|words| words.subject.as_str())
    }

    /// Who vouches for it.
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.words.as_ref().map(|words| words.issuer.as_str())
    }

    /// Its number, hexadecimal.
    pub(crate) fn serial(&self) -> Option<&str> {
        self.words.as_ref().map(|words| words.serial.as_str())
    }

    /// Its alternative names, each with its kind, with commas between them.
    pub(crate) fn names(&self) -> Option<&str> {
        self.words.as_ref().map(|words| words.names.as_str())
    }

    /// All of it as RFC 9440 has it.
    pub(crate) fn binary(&self) -> String {
        format!(":{}:", STANDARD.encode(&self.der))
    }

    /// All of it as PEM, in the form that nginx has for headers: everything but letters, digits and a few
    /// signs is escaped with `%`.
    pub(crate) fn escaped(&self) -> String {
        let encoded = STANDARD.encode(&self.der);
        let mut text = String::with_capacity(encoded.len() * 5 / 4 + 128);
        text.push_str("-----BEGIN%20CERTIFICATE-----%0A");
        for (place, character) in encoded.chars().enumerate() {
            if place > 0 && place % PEM_LINE == 0 {
                text.push_str("%0A");
            }
            match character {
                '+' => text.push_str("%2B"),
                '/' => text.push_str("%2F"),
                '=' => text.push_str("%3D"),
                other => text.push(other),
            }
        }
        text.push_str("%0A-----END%20CERTIFICATE-----%0A");
        text
    }
}

impl Words {
    fn read(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let content = certificate.tbs_certificate();
        // What stands there twice is not read at all.
        let names = content.get_extension::<SubjectAltName>().ok()?;
        let names = names.map(|(_, names)| names.0).unwrap_or_default();
        let names: Vec<String> = names.iter().filter_map(shown).collect();
        Some(Self {
            subject: printable(&content.subject().to_string()),
            issuer: printable(&content.issuer().to_string()),
            serial: hex(content.serial_number().as_bytes()).to_ascii_uppercase(),
            names: names.join(","),
        })
    }
}

fn shown(name: &GeneralName) -> Option<String> {
    Some(match name {
        GeneralName::DnsName(name) => format!("DNS:{}", separate(name.as_str())),
        GeneralName::Rfc822Name(name) => format!("email:{}", separate(name.as_str())),
        GeneralName::UniformResourceIdentifier(name) => format!("URI:{}", separate(name.as_str())),
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let v4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from)).ok()?;
            format!("IP:{address}")
        }
        _ => return None,
    })
}

/// A name within a list of them.
fn separate(name: &str) -> String {
    escaped(name, |byte| (b'!'..=b'~').contains(&byte) && !b",\\\"".contains(&byte))
}

/// A distinguished name, whose own escapes stay as they are.
fn printable(name: &str) -> String {
    escaped(name, |byte| (b' '..=b'~').contains(&byte))
}

/// Bytes that do not stay become a backslash and two digits, as RFC 4514 has it.
fn escaped(text: &str, stays: impl Fn(u8) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        if stays(byte) {
            safe.push(char::from(byte));
        } else {
            write!(safe, "\\{byte:02X}").expect("memory takes every byte");
        }
    }
    safe
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("memory takes every byte");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType, SerialNumber};
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    fn made(names: &[SanType], common_name: &str) -> ClientCertificate {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = names.to_vec();
        params.serial_number = Some(SerialNumber::from(0x0a_bcde_u64));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        ClientCertificate::read(certificate.der())
    }

    #[test]
    fn names_are_told_apart_whatever_is_in_them() {
        let uri = |text: &str| SanType::URI(text.try_into().unwrap());
        let names = [
            SanType::DnsName("alice.test".try_into().unwrap()),
            uri("spiffe://x/a,DNS:admin\\\"\n"),
            SanType::Rfc822Name("a@b.test".try_into().unwrap()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
        ];
        let certificate = made(&names, "al\u{ef}ce,O=Admin\r\n");
        let expected =
            "DNS:alice.test,URI:spiffe://x/a\\2CDNS:admin\\5C\\22\\0A,email:a@b.test,IP:2001:db8::1";
        assert_eq!(certificate.names(), Some(expected));
        assert_eq!(certificate.subject(), Some("CN=al\\C3\\AFce\\,O=Admin\\0d\\0a,O=Example"));
        assert_eq!(certificate.issuer(), certificate.subject());
        assert_eq!(certificate.serial(), Some("0ABCDE"));
        assert_eq!(certificate.fingerprint.len(), 64);
    }

    #[test]
    fn the_whole_comes_back_from_both_of_its_forms() {
        let certificate = made(&[], "alice");
        assert_eq!(certificate.names(), Some(""));
        let mut pem = certificate.escaped();
        assert!(pem.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-%".contains(&byte)), "{pem}");
        for (escape, character) in [("%0A", "\n"), ("%20", " "), ("%2B", "+"), ("%2F", "/"), ("%3D", "=")] {
            pem = pem.replace(escape, character);
        }
        assert!(pem.lines().all(|line| line.len() <= PEM_LINE), "{pem}");
        assert_eq!(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().as_ref(), certificate.der);
        let binary = certificate.binary();
        assert_eq!(STANDARD.decode(binary.trim_matches(':')).unwrap(), certificate.der);
    }

    #[test]
    fn what_cannot_be_read_has_no_words_and_still_a_fingerprint() {
        let odd = ClientCertificate::read(b"0\x03\x02\x01\x01");
        assert_eq!((odd.subject(), odd.names(), odd.fingerprint.len()), (None, None, 64));
    }
}

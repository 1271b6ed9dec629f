//! Certificates made on the spot, and a client that says which one it was shown.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::PATIENCE;
use super::client::{Answer, parse};

/// Whom the client trusts.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: String,
}

/// A certificate and its key, as PEM.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

pub struct Client(Arc<ClientConfig>);

pub type Stream = StreamOwned<ClientConnection, TcpStream>;

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    pub fn issue(&self, name: &str) -> Issued {
        self.issue_for(&[name])
    }

    /// One certificate with several names.
    pub fn issue_for(&self, names: &[&str]) -> Issued {
        let key = KeyPair::generate().unwrap();
        let params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        Issued { certificate: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }

    /// A client that shows this certificate when it is asked for one.
    pub fn client(&self, own: Option<&Issued>) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(der(&self.certificate)).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            Some(own) => {
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
                // Whether it is a good one is the server's affair.
                let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
                let shown = CertifiedKey::new(vec![der(&own.certificate)], key);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)))
            }
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        Client(Arc::new(config))
    }
}

impl Issued {
    /// Puts both files in the place of older ones, as a careful renewal does it.
    pub fn put(&self, folder: &Path, name: &str) {
        for (ending, text) in [("pem", &self.certificate), ("key", &self.key)] {
            let new = folder.join(format!("{name}.{ending}.new"));
            fs::write(&new, text).unwrap();
            fs::rename(new, folder.join(format!("{name}.{ending}"))).unwrap();
        }
    }

    pub fn der(&self) -> CertificateDer<'static> {
        der(&self.certificate)
    }
}

fn der(certificate: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()
}

impl Client {
    /// The same client, which offers these protocols.
    pub fn offering(&self, protocols: &[&str]) -> Self {
        let mut config = ClientConfig::clone(&self.0);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self(Arc::new(config))
    }

    /// The same client, which goes on with sessions that it had.
    #[allow(dead_code, reason = "not all tests speak TLS twice")]
    pub fn resuming(&self) -> Self {
        let mut config = ClientConfig::clone(&self.0);
        config.resumption = Resumption::in_memory_sessions(8);
        Self(Arc::new(config))
    }

    pub fn connect(&self, address: SocketAddr, name: &str) -> io::Result<Stream> {
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(name.to_string()).unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.0), name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(connection, socket))
    }

    /// One request on a connection of its own: the answer, and the certificate that came before it.
    pub fn get(&self, address: SocketAddr, name: &str) -> io::Result<(Answer, CertificateDer<'static>)> {
        let mut stream = self.connect(address, name)?;
        let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let shown = stream.conn.peer_certificates().unwrap()[0].clone().into_owned();
        Ok((parse(&text).ok_or_else(|| io::Error::other("not an answer"))?, shown))
    }
}

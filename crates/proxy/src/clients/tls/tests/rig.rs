//! Certificates made on the spot, a folder with a server's files, and clients that say what they saw.

use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::clients::tls::settings::{CertificateFiles, TlsSettings, TlsVersion};
use crate::clients::tls::{TlsServer, is_http2};

/// How long any wait of these tests may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Authority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) certificate: String,
}

/// A certificate and its key, as PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    pub(super) fn issue(&self, names: &[&str]) -> Issued {
        self.sign(&CertificateParams::new(owned(names)).unwrap())
    }

    pub(super) fn issue_expired(&self, names: &[&str]) -> Issued {
        let mut params = CertificateParams::new(owned(names)).unwrap();
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        self.sign(&params)
    }

    pub(super) fn sign(&self, params: &CertificateParams) -> Issued {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { certificate, key: key.serialize_pem() }
    }

    pub(super) fn client(&self) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(der(&self.certificate)).unwrap();
        Client { roots, versions: vec![&TLS13, &TLS12], protocols: vec![], certificate: None }
    }
}

pub(super) fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

pub(super) fn der(certificate: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()
}

/// A folder with the files of a server.
pub(super) struct Yard {
    pub(super) folder: TempDir,
    pub(super) settings: TlsSettings,
}

impl Yard {
    pub(super) fn new(certificates: &[&Issued]) -> Self {
        let mut yard = Self {
            folder: tempfile::tempdir().unwrap(),
            settings: TlsSettings {
                certificates: Vec::new(),
                client_authority: None,
                is_client_certificate_required: false,
                oldest_version: TlsVersion::Tls12,
                is_http2: true,
            },
        };
        for (index, issued) in certificates.iter().enumerate() {
            let certificate = yard.write(&format!("{index}.crt"), &issued.certificate);
            let key = yard.write(&format!("{index}.key"), &issued.key);
            yard.settings.certificates.push(CertificateFiles { certificate, key });
        }
        yard
    }

    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// As a careful renewal does it: a whole new file in the old one's place.
    pub(super) fn put(&self, name: &str, text: &str) {
        let new = self.write("new", text);
        fs::rename(new, self.folder.path().join(name)).unwrap();
    }

    pub(super) fn server(&self) -> TlsServer {
        TlsServer::load(&self.settings).unwrap()
    }

    /// The whole complaint, causes included.
    pub(super) fn complaint(&self) -> String {
        let error = TlsServer::load(&self.settings).unwrap_err();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

#[derive(Clone)]
pub(super) struct Client {
    pub(super) roots: RootCertStore,
    versions: Vec<&'static SupportedProtocolVersion>,
    protocols: Vec<&'static str>,
    pub(super) certificate: Option<Arc<Issued>>,
}

impl Client {
    pub(super) fn speaking(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    pub(super) fn offering(mut self, protocols: &[&'static str]) -> Self {
        self.protocols = protocols.to_vec();
        self
    }

    pub(super) fn showing(mut self, certificate: Issued) -> Self {
        self.certificate = Some(Arc::new(certificate));
        self
    }

    pub(super) fn connector(&self) -> TlsConnector {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.certificate {
            Some(issued) => {
                let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![der(&issued.certificate)], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    pub(super) async fn connect(&self, server: &TlsServer, name: &str) -> io::Result<Met> {
        meet(&self.connector(), server, name).await
    }
}

/// What a client saw.
pub(super) struct Met {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) version: ProtocolVersion,
    pub(super) protocol: Option<String>,
    pub(super) kind: HandshakeKind,
}

/// A handshake and a byte each way: only the answer tells a client that its certificate was taken.
pub(super) async fn meet(connector: &TlsConnector, server: &TlsServer, name: &str) -> io::Result<Met> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = async {
        let (stream, _) = listener.accept().await?;
        let mut stream = server.accept(stream).await?;
        let mut byte = [0];
        let count = poll_fn(|context| stream.poll_read(context, &mut byte)).await?;
        poll_fn(|context| stream.poll_write(context, &byte[..count], &[])).await?;
        poll_fn(|context| stream.poll_shutdown(context)).await?;
        assert_eq!(is_http2(&stream), stream.protocol() == Some(b"h2"));
        Ok::<_, io::Error>(())
    };
    let asking = async {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(name.to_string()).unwrap();
        let mut stream = connector.connect(name, stream).await?;
        stream.write_u8(7).await?;
        stream.read_u8().await?;
        let session = stream.get_ref().1;
        Ok::<_, io::Error>(Met {
            certificate: session.peer_certificates().unwrap()[0].clone(),
            version: session.protocol_version().unwrap(),
            protocol: session.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap()),
            kind: session.handshake_kind().unwrap(),
        })
    };
    let both = async { tokio::join!(serving, asking) };
    let (served, met) = tokio::time::timeout(PATIENCE, both).await.expect("a handshake hung");
    let met = met?;
    served.map(|()| met)
}

//! The admin listener: health of the balancer itself, the services as JSON, edits, metrics.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::{
    DeployShape, DeployedShape, EditShape, ExplainShape, ExplanationShape, PauseShape, ScaleShape,
    ServiceShape,
};
use bytes::Bytes;
use control::{EditError, Handle, Journal, PAUSE_MAX};
use driver::Spec;
use fleet::{Edit, Refusal, ReplicaName, RolloutSettings};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use crate::metrics::{self, TrafficSource};
use crate::views;

/// The largest body of an admin request.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a client may take for a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after an accept failed, for descriptors to become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long requests are held back unless somebody says.
const PAUSE_DEFAULT: Duration = Duration::from_secs(30);

/// Where the admin API listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// A bound admin listener.
#[derive(Debug)]
pub enum AdminListener {
    /// On TCP.
    Tcp(TcpListener),
    /// On a Unix socket, at this path.
    Unix(UnixListener, PathBuf),
}

/// What the admin API serves.
pub struct Admin {
    services: Vec<Handle>,
    journal: Journal,
    traffic: TrafficSource,
    explainer: Explainer,
    deployer: Deployer,
}

/// Says which way a request to a service would take, or what is wrong with the question. The admin
/// API does not know the proxy's key rules; the program connects them.
pub type Explainer = Box<dyn Fn(&str, &ExplainShape) -> Result<ExplanationShape, String> + Send + Sync>;

/// Says what the operator's configuration asks for a service to run, now that it is read anew, or why it
/// cannot be deployed. The admin API knows no configuration; the program connects them.
pub type Deployer = Box<dyn Fn(&str) -> Result<(Spec, RolloutSettings), String> + Send + Sync>;

struct Failure {
    status: StatusCode,
    text: String,
}

type Answer = Result<Response<Full<Bytes>>, Failure>;

impl AdminListener {
    /// Binds an address. A Unix socket that nobody listens on any more is replaced; a new one may
    /// be used by its owner only.
    pub async fn bind(address: &AdminAddress) -> io::Result<Self> {
        match address {
            AdminAddress::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            AdminAddress::Unix(path) => {
                remove_stale_socket(path).await?;
                // Nobody can reach it before only its owner may.
                let new_path = path.with_extension("new");
                let _ = std::fs::remove_file(&new_path);
                let listener = UnixListener::bind(&new_path)?;
                std::fs::set_permissions(&new_path, std::fs::Permissions::from_mode(0o600))?;
                std::fs::rename(&new_path, path)?;
                Ok(Self::Unix(listener, path.clone()))
            }
        }
    }

    /// Where it listens, in words.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| "?".into(), |address| format!("http://{address}"))
            }
            Self::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }
}

/// Makes room where somebody who was killed left a Unix socket, and only there: a socket that is in
/// use stays, and so does any other file. The error says that the place is taken.
pub async fn remove_stale_socket(path: &Path) -> io::Result<()> {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return Ok(()) };
    let in_use = || Err(io::Error::new(io::ErrorKind::AddrInUse, "it is in use"));
    if !meta.file_type().is_socket() {
        return in_use();
    }
    match tokio::net::UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        _ => in_use(),
    }
}

impl Admin {
    /// An admin API for these services.
    pub fn new(
        services: Vec<Handle>,
        journal: Journal,
        (traffic, explainer, deployer): (TrafficSource, Explainer, Deployer),
    ) -> Self {
        Self { services, journal, traffic, explainer, deployer }
    }

    /// Serves until dropped.
    pub async fn serve(self, listener: AdminListener) {
        let admin = Arc::new(self);
        loop {
            let accepted = match &listener {
                AdminListener::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                    tokio::spawn(connection(Arc::clone(&admin), stream));
                }),
                AdminListener::Unix(listener, _) => listener.accept().await.map(|(stream, _)| {
                    tokio::spawn(connection(Arc::clone(&admin), stream));
                }),
            };
            if let Err(error) = accepted {
                tracing::warn!(%error, "the admin listener could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_string();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let result = match (request.method(), segments.as_slice()) {
            (&Method::GET, ["livez"]) => Ok(text("ok\n".into())),
            (&Method::GET, ["readyz"]) => self.readiness(),
            (&Method::GET, ["metrics"]) => Ok(self.metrics()),
            (&Method::GET, ["v1", "services"]) => {
                let shapes: Vec<ServiceShape> = self.services.iter().map(views::service).collect();
                Ok(json(StatusCode::OK, &shapes))
            }
            (&Method::POST, ["v1", "services", name, "explain"]) => self.explain(name, request).await,
            (&Method::POST, ["v1", "services", name, "deploy"]) => self.deploy(name, request).await,
            (&Method::GET, ["v1", "events"]) => Ok(json(StatusCode::OK, &self.journal.events())),
            (_, ["v1", "services", name, rest @ ..]) => match self.find(name) {
                Ok(handle) => answer_service(handle, rest, request).await,
                Err(failure) => Err(failure),
            },
            _ => Err(Failure::not_found("there is no such endpoint; see GET /v1/services")),
        };
        result.unwrap_or_else(Failure::into_answer)
    }

    async fn explain(&self, name: &str, request: Request<Incoming>) -> Answer {
        self.find(name)?;
        let question: ExplainShape = read_json(request).await?;
        let explained = (self.explainer)(name, &question);
        explained.map(|shape| json(StatusCode::OK, &shape)).map_err(|text| Failure::bad_request(&text))
    }

    async fn deploy(&self, name: &str, request: Request<Incoming>) -> Answer {
        let handle = self.find(name)?;
        let DeployShape { force } = read_json(request).await?;
        let conflict = |text| Failure { status: StatusCode::CONFLICT, text };
        let (spec, settings) = (self.deployer)(name).map_err(conflict)?;
        let (status, shape) = match handle.deploy(spec, (force, settings)).await {
            Ok(view) => {
                let service = views::service_then(handle, &view);
                (StatusCode::ACCEPTED, DeployedShape { has_begun: true, reason: None, service })
            }
            Err(EditError::Refused(refusal @ Refusal::NothingToDeploy)) => {
                let reason = Some(refusal.to_string());
                (StatusCode::OK, DeployedShape { has_begun: false, reason, service: views::service(handle) })
            }
            Err(error) => return Err(Failure::from_error(&error)),
        };
        Ok(json(status, &shape))
    }

    fn find(&self, name: &str) -> Result<&Handle, Failure> {
        let found = self.services.iter().find(|handle| handle.service() == name);
        found.ok_or_else(|| Failure::not_found(&format!("there is no service '{name}'")))
    }

    /// Ready means: every service that should have replicas has one that takes traffic.
    fn readiness(&self) -> Answer {
        let unready: Vec<&str> = self
            .services
            .iter()
            .filter(|handle| {
                let view = handle.view();
                view.ready() == 0 && !view.replicas.is_empty()
            })
            .map(Handle::service)
            .collect();
        if unready.is_empty() {
            return Ok(text("ready\n".into()));
        }
        let text = format!("no replica takes traffic for: {}", unready.join(", "));
        Err(Failure { status: StatusCode::SERVICE_UNAVAILABLE, text })
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut answer = text(metrics::page(&self.services, &self.traffic));
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        answer
    }
}

async fn connection(admin: Arc<Admin>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(move |request| {
        let admin = Arc::clone(&admin);
        async move { Ok::<_, Infallible>(admin.answer(request).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "an admin connection ended badly");
    }
}

async fn answer_service(handle: &Handle, rest: &[&str], request: Request<Incoming>) -> Answer {
    let edit = match (request.method(), rest) {
        (&Method::GET, []) => return Ok(json(StatusCode::OK, &views::service(handle))),
        (&Method::GET, ["replicas"]) => return Ok(json(StatusCode::OK, &views::service(handle).replicas)),
        (&Method::POST, ["replicas"]) => {
            let (count, names) = count_and_names(&read_json(request).await?)?;
            Edit::Add { count, names }
        }
        (&Method::DELETE, ["replicas"]) => {
            let (count, names) = count_and_names(&read_json(request).await?)?;
            Edit::Remove { count, names }
        }
        (&Method::POST, ["pause"]) => {
            let length = pause_length(&read_json(request).await?)?;
            let view = handle.pause(length).await.map_err(|error| Failure::from_error(&error))?;
            return Ok(json(StatusCode::OK, &views::service_then(handle, &view)));
        }
        (&Method::POST, ["resume"]) => {
            let view = handle.resume().await.map_err(|error| Failure::from_error(&error))?;
            return Ok(json(StatusCode::OK, &views::service_then(handle, &view)));
        }
        (&Method::PUT, ["scale"]) => {
            let ScaleShape { replicas: count } = read_json(request).await?;
            Edit::Scale { count }
        }
        _ => {
            return Err(Failure::not_found(
                "a service has: GET, GET POST DELETE replicas, PUT scale, POST explain deploy pause resume",
            ));
        }
    };
    let view = handle.edit(edit).await.map_err(|error| Failure::from_error(&error))?;
    Ok(json(StatusCode::OK, &views::service_then(handle, &view)))
}

fn pause_length(shape: &PauseShape) -> Result<Duration, Failure> {
    let Some(text) = &shape.length else { return Ok(PAUSE_DEFAULT) };
    let length = humantime::parse_duration(text);
    let length =
        length.map_err(|error| Failure::bad_request(&format!("\"for\" is no duration like 30s: {error}")))?;
    if length.is_zero() || length > PAUSE_MAX {
        let max = humantime::format_duration(PAUSE_MAX);
        return Err(Failure::bad_request(&format!("\"for\" must be more than nothing and at most {max}")));
    }
    Ok(length)
}

fn count_and_names(shape: &EditShape) -> Result<(u32, Vec<ReplicaName>), Failure> {
    let names: Result<Vec<_>, _> = shape.names.iter().map(|name| ReplicaName::parse(name)).collect();
    let names = names.map_err(|error| Failure::bad_request(&error.to_string()))?;
    let count = shape.count.unwrap_or(names.len() as u32);
    if count == 0 {
        return Err(Failure::bad_request("give a count of at least 1, or names"));
    }
    Ok((count, names))
}

async fn read_json<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Failure> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    let body = tokio::time::timeout(BODY_TIMEOUT, body).await.map_err(|_| Failure {
        status: StatusCode::REQUEST_TIMEOUT,
        text: "the body did not arrive in time".into(),
    })?;
    let body = body.map_err(|_| Failure {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        text: format!("the body is larger than {BODY_BYTES_MAX} bytes, or ended early"),
    })?;
    let body = body.to_bytes();
    // An array would pass as the fields in their order; nobody means that.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Failure::bad_request("the body must be a JSON object"));
    }
    serde_json::from_slice(&body)
        .map_err(|error| Failure::bad_request(&format!("the body is not what this endpoint takes: {error}")))
}

impl Failure {
    fn not_found(text: &str) -> Self {
        Self { status: StatusCode::NOT_FOUND, text: text.into() }
    }

    fn bad_request(text: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, text: text.into() }
    }

    fn from_error(error: &EditError) -> Self {
        let status = match error {
            EditError::Refused(Refusal::Busy) | EditError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            EditError::Refused(_) | EditError::NotRunnable(_) => StatusCode::CONFLICT,
            EditError::Undone(_) | EditError::NotStored(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, text: error.to_string() }
    }

    fn into_answer(self) -> Response<Full<Bytes>> {
        let title = self.status.canonical_reason().unwrap_or_default();
        let problem =
            serde_json::json!({"title": title, "status": self.status.as_u16(), "detail": self.text});
        let mut answer = json(self.status, &problem);
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        answer
    }
}

fn text(body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    let bytes = serde_json::to_vec(body).expect("our shapes hold nothing that JSON cannot");
    let mut answer = Response::new(Full::new(Bytes::from(bytes)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

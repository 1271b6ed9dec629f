//! A client of the admin API, for the commands that speak to a running balancer.

use std::ops::ControlFlow;

use api::{Problem, Route, ServiceShape};
use bytes::Bytes;
use fleet::{Address, harmless};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::error::CommandError;
use crate::options::Target;
use crate::token::Token;

/// The longest line that is taken.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Asks the admin API of one balancer. It blocks.
pub(crate) struct Client {
    address: Address,
    /// The address as it was typed.
    typed: String,
    token: Token,
    /// Whether people read what comes of it, and not programs.
    is_for_people: bool,
}

impl Client {
    pub(crate) fn new(address: Address, target: &Target) -> Result<Self, CommandError> {
        // A socket of a file is for those who may open it.
        let token = match address {
            Address::Tcp(_) => Token::find(target)?,
            Address::Unix(_) => Token::default(),
        };
        Ok(Self { address, typed: target.admin.clone(), token, is_for_people: !target.json })
    }

    /// What a route shows that is about no service.
    pub(crate) fn get<T: DeserializeOwned>(&self, route: Route) -> Result<T, CommandError> {
        self.call(route, "", &())
    }

    /// One request, about this service if the route is about one, and what came back if it was a success.
    pub(crate) fn call<T: DeserializeOwned>(
        &self,
        route: Route,
        service: &str,
        body: &impl Serialize,
    ) -> Result<T, CommandError> {
        let body = match route.endpoint().method {
            api::Method::Get => Vec::new(),
            api::Method::Post | api::Method::Put | api::Method::Delete => json(body)?,
        };
        let request = self.request(route, &route.path(service), body)?;
        let bytes = runtime()?.block_on(async { whole(self.send(request).await?).await })?;
        let answer = serde_json::from_slice::<Value>(&bytes);
        let answer = answer.map(|answer| if self.is_for_people { harmless_value(answer) } else { answer });
        answer.and_then(serde_json::from_value).map_err(|error| {
            CommandError::new(format!("the admin API's answer is not what this version expects: {error}"))
        })
    }

    /// What a route answers line by line, for as long as it goes on and somebody wants more. Empty lines only say
    /// that it is not over.
    pub(crate) fn lines(
        &self,
        route: Route,
        path: &str,
        mut tell: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(), CommandError> {
        let request = self.request(route, path, Vec::new())?;
        runtime()?.block_on(async {
            let mut body = self.send(request).await?;
            let mut rest = Vec::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| {
                    CommandError::new(format!("the balancer has ended, or it is out of reach: {error}"))
                })?;
                rest.extend_from_slice(frame.data_ref().map_or(&[], Bytes::as_ref));
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    let line = String::from_utf8_lossy(&line);
                    let line = line.trim_end();
                    if !line.is_empty() && tell(line).is_break() {
                        return Ok(());
                    }
                }
                if rest.len() > LINE_BYTES_MAX {
                    return Err(CommandError::new("the admin API sends a line without an end"));
                }
            }
            Ok(())
        })
    }

    fn request(&self, route: Route, path: &str, body: Vec<u8>) -> Result<Request<Full<Bytes>>, CommandError> {
        let request = Request::builder()
            .method(method(route.endpoint().method))
            .uri(path)
            .header(HOST, self.host())
            .header(CONTENT_TYPE, "application/json");
        request.body(Full::new(Bytes::from(body))).map_err(CommandError::new)
    }

    /// The service that a command is about: the one named, or the only one.
    pub(crate) fn service_name(&self, target: &Target) -> Result<String, CommandError> {
        if let Some(name) = &target.service {
            return Ok(name.clone());
        }
        let services = self.services()?;
        match services.as_slice() {
            [only] => Ok(only.name.clone()),
            several => {
                let names: Vec<&str> = several.iter().map(|service| service.name.as_str()).collect();
                Err(CommandError::new(format!(
                    "there are several services, choose one with --service: {}",
                    names.join(", ")
                )))
            }
        }
    }

    /// All services.
    pub(crate) fn services(&self) -> Result<Vec<ServiceShape>, CommandError> {
        self.get(Route::Services)
    }

    fn host(&self) -> String {
        match &self.address {
            Address::Tcp(address) => address.to_string(),
            Address::Unix(_) => "localhost".to_owned(),
        }
    }

    async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Incoming, CommandError> {
        let unreachable = |error: std::io::Error| {
            CommandError::new(format!(
                "no balancer answers at {}: {error}; start one with `evenkeel up`, or name its admin API with --admin",
                self.typed
            ))
        };
        match &self.address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(unreachable)?;
                let near = stream.local_addr().map_err(unreachable)?;
                if let Some(token) = self.token.for_connection(near, *address) {
                    let value =
                        HeaderValue::try_from(format!("Bearer {token}")).map_err(CommandError::new)?;
                    request.headers_mut().insert(AUTHORIZATION, value);
                }
                exchange(stream, request).await
            }
            Address::Unix(socket) => {
                exchange(UnixStream::connect(socket).await.map_err(unreachable)?, request).await
            }
        }
    }
}

/// Replicas and engines have written a part of it. What they wrote stays within its line and its column.
fn harmless_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(harmless(&text).into_owned()),
        Value::Array(values) => Value::Array(values.into_iter().map(harmless_value).collect()),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            fields.map(|(name, value)| (harmless(&name).into_owned(), harmless_value(value))).collect()
        }
        other => other,
    }
}

fn method(method: api::Method) -> Method {
    match method {
        api::Method::Get => Method::GET,
        api::Method::Post => Method::POST,
        api::Method::Put => Method::PUT,
        api::Method::Delete => Method::DELETE,
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(CommandError::new)
}

fn broken(error: &hyper::Error) -> CommandError {
    CommandError::new(format!("the admin API did not answer: {error}"))
}

async fn whole(body: Incoming) -> Result<Bytes, CommandError> {
    Ok(body.collect().await.map_err(|error| broken(&error))?.to_bytes())
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, CommandError> {
    serde_json::to_vec(body).map_err(CommandError::new)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Incoming, CommandError> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
    let status = answer.status();
    let body = answer.into_body();
    if status.is_success() {
        return Ok(body);
    }
    let problem = serde_json::from_slice(&whole(body).await?);
    let detail = problem.map_or_else(|_| status.as_str().to_owned(), |problem: Problem| problem.detail);
    Err(CommandError::new(harmless(&detail)))
}

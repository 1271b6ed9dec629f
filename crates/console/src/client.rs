//! A client of the admin API, for the commands that speak to a running balancer.

use api::{Problem, Route, ServiceShape};
use bytes::Bytes;
use fleet::Address;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::error::CommandError;
use crate::options::Target;

/// Asks the admin API of one balancer. It blocks.
pub(crate) struct Client {
    address: Address,
    /// The address as it was typed.
    typed: String,
}

impl Client {
    pub(crate) fn new(address: Address, target: &Target) -> Self {
        Self { address, typed: target.admin.clone() }
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
        let method = method(route.endpoint().method);
        let body = if method == Method::GET { Vec::new() } else { json(body)? };
        let request = Request::builder()
            .method(method)
            .uri(route.path(service))
            .header(HOST, "admin")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(CommandError::new)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let bytes = runtime.map_err(CommandError::new)?.block_on(self.send(request))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            CommandError::new(format!("the admin API's answer is not what this version expects: {error}"))
        })
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

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Bytes, CommandError> {
        let unreachable = |error: std::io::Error| {
            CommandError::new(format!(
                "no balancer answers at {}: {error}; start one with `evenkeel up`, or name its admin API with --admin",
                self.typed
            ))
        };
        match &self.address {
            Address::Tcp(address) => {
                exchange(TcpStream::connect(address).await.map_err(unreachable)?, request).await
            }
            Address::Unix(socket) => {
                exchange(UnixStream::connect(socket).await.map_err(unreachable)?, request).await
            }
        }
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

fn json(body: &impl Serialize) -> Result<Vec<u8>, CommandError> {
    serde_json::to_vec(body).map_err(CommandError::new)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, CommandError> {
    let broken = |error: hyper::Error| CommandError::new(format!("the admin API did not answer: {error}"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(broken)?.to_bytes();
    if status.is_success() {
        return Ok(body);
    }
    let problem = serde_json::from_slice(&body);
    let detail = problem.map_or_else(|_| status.as_str().to_owned(), |problem: Problem| problem.detail);
    Err(CommandError::new(detail))
}

//! A client of the admin API, for the commands that speak to a running balancer.

use bytes::Bytes;
use control::{AdminAddress, ServiceShape};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::cli::Target;
use crate::{Stopped, failed};

type Failed = (Stopped, String);

/// One request, and the answer's body if it was a success.
pub(crate) fn call(
    target: &Target,
    method: &Method,
    path: &str,
    body: &impl Serialize,
) -> Result<Bytes, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let address = address(target)?;
        let unreachable = |error: std::io::Error| {
            failed(format!(
                "no balancer answers at {}: {error}; start one with `evenkeel up`, or name its admin API with --admin",
                target.admin
            ))
        };
        match address {
            AdminAddress::Tcp(address) => {
                exchange(TcpStream::connect(address).await.map_err(unreachable)?, (method, path, body)).await
            }
            AdminAddress::Unix(socket) => {
                exchange(UnixStream::connect(socket).await.map_err(unreachable)?, (method, path, body)).await
            }
        }
    })
}

/// The service that a command is about: the one named, or the only one.
pub(crate) fn service_name(target: &Target) -> Result<String, Failed> {
    if let Some(name) = &target.service {
        return Ok(name.clone());
    }
    let services = services(target)?;
    match services.as_slice() {
        [only] => Ok(only.name.clone()),
        several => {
            let names: Vec<&str> = several.iter().map(|service| service.name.as_str()).collect();
            Err(failed(format!(
                "there are several services, choose one with --service: {}",
                names.join(", ")
            )))
        }
    }
}

/// All services.
pub(crate) fn services(target: &Target) -> Result<Vec<ServiceShape>, Failed> {
    parse(&call(target, &Method::GET, "/v1/services", &())?)
}

/// An answer of the admin API.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Failed> {
    serde_json::from_slice(body)
        .map_err(|error| failed(format!("the admin API's answer is not what this version expects: {error}")))
}

fn address(target: &Target) -> Result<AdminAddress, Failed> {
    match config::admin_address(&target.admin) {
        Ok(config::AdminAddress::Tcp(address)) => Ok(AdminAddress::Tcp(address)),
        Ok(config::AdminAddress::Unix(path)) => Ok(AdminAddress::Unix(path)),
        Err(error) => Err(failed(format!("--admin {}: {error}", target.admin))),
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    (method, path, body): (&Method, &str, &impl Serialize),
) -> Result<Bytes, Failed> {
    let broken = |error: hyper::Error| failed(format!("the admin API did not answer: {error}"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    tokio::spawn(connection);
    let body = if *method == Method::GET { Vec::new() } else { serde_json::to_vec(body).map_err(failed)? };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "admin")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(failed)?;
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(broken)?.to_bytes();
    if status.is_success() {
        return Ok(body);
    }
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    Err(failed(problem["detail"].as_str().unwrap_or(status.as_str())))
}

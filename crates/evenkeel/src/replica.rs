//! The bundled demo replica: the contract's web server.

use std::convert::Infallible;
use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use fleet::Address;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};

use crate::signals::EndSignals;
use crate::{Outcome, Stopped, failed};

/// Where it listens if nobody says.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);
/// How long requests may go on after it was asked to stop.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);
/// How long to wait after an accept failed, for descriptors to become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What it is called in the list of processes: whoever signals all balancers does not mean it.
const NAME: &CStr = c"evenkeel-demo";

/// Where it listens: where it was told; else on the port in `PORT`, on loopback, as most servers do where a
/// balancer chooses it.
fn address(listen: Option<&Address>, port: Option<&str>) -> Result<Address, String> {
    if let Some(listen) = listen {
        return Ok(listen.clone());
    }
    let Some(port) = port.filter(|port| !port.is_empty()) else { return Ok(DEFAULT.into()) };
    let port = port.parse().map_err(|_| format!("PORT is '{port}', which is no port"))?;
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())
}

/// Serves until asked to stop.
pub(crate) fn run(listen: Option<&Address>) -> Outcome {
    let _ = rustix::thread::set_name(NAME);
    let port = std::env::var("PORT").ok();
    let listen = &address(listen, port.as_deref()).map_err(Stopped::WrongUsage)?;
    let id = std::env::var("SERVER_ID").unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let listener = Listener::bind(listen).await;
        let listener = listener.map_err(|error| failed(format!("cannot listen on {listen}: {error}")))?;
        let signals = EndSignals::listen().map_err(failed)?;
        serve(listener, home_of(&id), signals).await;
        if let Address::Unix(path) = listen {
            // The balancer, if there is one, may have been faster.
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    })
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A client's connection, of whichever kind.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Listener {
    async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => TcpListener::bind(address).await.map(Self::Tcp),
            Address::Unix(path) => {
                admin::remove_stale_socket(path).await?;
                UnixListener::bind(path).map(Self::Unix)
            }
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok(Box::new(stream))
            }
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

fn home_of(id: &str) -> Bytes {
    let body = serde_json::json!({"message": format!("Hello from Server: {id}"), "status": "successful"});
    Bytes::from(body.to_string())
}

async fn serve(listener: Listener, home: Bytes, mut signals: EndSignals) {
    let (stop, stopped) = watch::channel(false);
    // Every connection holds a sender; when the last is gone, so are the connections.
    let (alive, mut all_ended) = mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = signals.next() => break,
        };
        match accepted {
            Ok(stream) => {
                let (home, stopped, alive) = (home.clone(), stopped.clone(), alive.clone());
                tokio::spawn(async move {
                    connection(stream, home, stopped).await;
                    drop(alive);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
    drop((listener, alive));
    let _ = stop.send(true);
    let _ = tokio::time::timeout(DRAIN_DEADLINE, all_ended.recv()).await;
}

async fn connection(stream: Box<dyn Stream>, home: Bytes, mut stopped: watch::Receiver<bool>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let home = home.clone();
        async move { Ok::<_, Infallible>(respond(&request, home)) }
    });
    let mut connection =
        std::pin::pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    // How a client's connection ended is the client's business.
    let has_ended = tokio::select! {
        _ = connection.as_mut() => true,
        _ = stopped.wait_for(|is_stopped| *is_stopped) => false,
    };
    if !has_ended {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

fn respond(request: &Request<Incoming>, home: Bytes) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/home") => {
            let mut response = Response::new(Full::new(home));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        (&Method::GET | &Method::HEAD, "/heartbeat") => Response::new(Full::default()),
        _ => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    }
}

//! Clients and replicas that speak HTTP/2 as they should. Waits are bounded by the test's own end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::rig::PATIENCE;

/// Runs a test to its end; what it left running ends with it.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bounded = async { tokio::time::timeout(PATIENCE, test).await };
    runtime.block_on(bounded).expect("it takes too long")
}

/// A client's connection.
pub(crate) struct Client {
    pub(crate) sender: SendRequest<Bytes>,
    pub(crate) ended: JoinHandle<Result<(), h2::Error>>,
}

/// An answer that has come whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Client {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self::with(address, &mut h2::client::Builder::new()).await
    }

    pub(crate) async fn with(address: SocketAddr, builder: &mut h2::client::Builder) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = builder.enable_push(false).handshake(stream).await.unwrap();
        Self { sender, ended: tokio::spawn(connection) }
    }

    /// Begins a request; without a body it is complete.
    pub(crate) async fn begin(
        &mut self,
        request: Request<()>,
        is_over: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut sender = self.sender.clone().ready().await.unwrap();
        sender.send_request(request, is_over).unwrap()
    }

    pub(crate) async fn ask(&mut self, request: Request<()>) -> Result<Answer, h2::Error> {
        whole(self.begin(request, true).await.0.await?).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.ask(request("GET", path)).await.unwrap()
    }

    pub(crate) async fn post(&mut self, path: &str, body: &'static [u8]) -> Result<Answer, h2::Error> {
        let (answer, mut stream) = self.begin(request("POST", path), false).await;
        stream.send_data(Bytes::from_static(body), true)?;
        whole(answer.await?).await
    }
}

pub(crate) fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://h{path}")).body(()).unwrap()
}

pub(crate) async fn whole(answer: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (parts, mut stream) = answer.into_parts();
    let body = read(&mut stream).await?;
    let trailers = stream.trailers().await?;
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body, trailers })
}

/// A body to its end.
pub(crate) async fn read(stream: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(bytes) = piece(stream).await? {
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

/// The next bytes of a body.
pub(crate) async fn piece(stream: &mut RecvStream) -> Result<Option<Bytes>, h2::Error> {
    let Some(bytes) = stream.data().await else { return Ok(None) };
    let bytes = bytes?;
    stream.flow_control().release_capacity(bytes.len())?;
    Ok(Some(bytes))
}

/// Sends as fast as the other side takes it.
pub(crate) async fn send(
    stream: &mut SendStream<Bytes>,
    mut bytes: Bytes,
    is_over: bool,
) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let capacity = match std::future::poll_fn(|context| stream.poll_capacity(context)).await {
            Some(capacity) => capacity?,
            None => return Err(h2::Reason::STREAM_CLOSED.into()),
        };
        let part = bytes.split_to(capacity.min(bytes.len()));
        stream.send_data(part, is_over && bytes.is_empty())?;
    }
    Ok(())
}

/// A replica that speaks HTTP/2 only.
pub(crate) struct Replica {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    /// Method and path of each request that came.
    received: Arc<Mutex<Vec<String>>>,
}

impl Replica {
    /// Does this with each request.
    pub(crate) fn start<F, B>(behave: B) -> Self
    where
        B: Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<(), h2::Error>> + Send + 'static,
    {
        Self::with(h2::server::Builder::new(), behave)
    }

    pub(crate) fn with<F, B>(builder: h2::server::Builder, behave: B) -> Self
    where
        B: Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<(), h2::Error>> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (connections, open, received) =
            (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<_>>>::default());
        let replica = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::clone(&connections),
            open: Arc::clone(&open),
            received: Arc::clone(&received),
        };
        let serve = async move {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let _ = stream.set_nodelay(true);
                connections.fetch_add(1, Ordering::Relaxed);
                open.fetch_add(1, Ordering::Relaxed);
                let (builder, behave) = (builder.clone(), behave.clone());
                let (open, received) = (Arc::clone(&open), Arc::clone(&received));
                tokio::spawn(async move {
                    let mut connection = builder.handshake::<_, Bytes>(stream).await.unwrap();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        received.lock().unwrap().push(format!(
                            "{} {}",
                            request.method(),
                            request.uri().path()
                        ));
                        tokio::spawn(behave(request, respond));
                    }
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve);
        });
        replica
    }

    /// All connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn open_connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) fn received(&self) -> Vec<String> {
        self.received.lock().unwrap().clone()
    }
}

/// An answer that is no more than a status and a body.
pub(crate) fn say(respond: &mut SendResponse<Bytes>, status: u16, body: &str) -> Result<(), h2::Error> {
    let head = Response::builder().status(status).body(()).unwrap();
    let mut stream = respond.send_response(head, body.is_empty())?;
    if body.is_empty() { Ok(()) } else { stream.send_data(Bytes::from(body.to_owned()), true) }
}

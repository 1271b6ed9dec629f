//! The admin API's server: from a request by its route to a question or an edit, and back.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::{
    Call, DeployShape, DeployedShape, ExplainShape, ExplanationShape, Problem, Route, ServiceShape, Unknown,
};
use bytes::Bytes;
use control::{Deploy, EditError, Handle, Journal, ServiceView};
use driver::Spec;
use fleet::{Edit, Refusal, RolloutSettings};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::geteuid;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use crate::access::{Access, Door, Head, check_kind};
use crate::bodies::{
    AnswerBody, addition, json, of_type, pause_length, read_json, refusal, removal, scaling, text,
};
use crate::connections::{Connection, Connections};
use crate::listener::AdminListener;
use crate::metrics::{self, TrafficSource};
use crate::output::{Asked, Outputs};
use crate::problems::{bad_request, not_found, of_edit, problem};
use crate::{happenings, views};

/// How long a client may take for a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after an accept failed, for descriptors to become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the admin API serves.
///
/// ```
/// use std::io::{Read, Write};
///
/// use admin::{Access, Admin, AdminListener, Sources, Traffic};
/// use control::Journal;
/// use files::Secret;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let sources = Sources {
///     services: Box::new(Vec::new),
///     folders: Box::new(|_| None),
///     traffic: Box::new(Traffic::default),
///     explainer: Box::new(|service, _| Err(format!("nobody can explain '{service}'"))),
///     deployer: Box::new(|service| Err(format!("nothing is known of '{service}'"))),
///     is_ending: Default::default(),
/// };
/// let listener = AdminListener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
/// let address = listener.address();
/// let token = Secret::of([7; 32]);
/// let access = Access { token: Some(token.clone()), ..Access::default() };
/// tokio::spawn(Admin::new(Journal::default(), sources, access).serve(listener));
///
/// let answer = tokio::task::spawn_blocking(move || {
///     let host = address.strip_prefix("http://").unwrap();
///     let mut stream = std::net::TcpStream::connect(host).unwrap();
///     let token = token.digits();
///     let fields = format!("host: {host}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n");
///     stream.write_all(format!("GET /v1/services HTTP/1.1\r\n{fields}\r\n").as_bytes()).unwrap();
///     let mut answer = String::new();
///     stream.read_to_string(&mut answer).unwrap();
///     answer
/// });
/// let answer = answer.await.unwrap();
/// assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("[]"), "{answer}");
/// # });
/// ```
pub struct Admin {
    journal: Journal,
    sources: Sources,
    access: Access,
    connections: Arc<Connections>,
    outputs: Outputs,
}

/// Where the admin API asks for what control does not know. The program connects them.
pub struct Sources {
    /// The services that there are.
    pub services: ServiceSource,
    /// Which of them answer with files.
    pub folders: FolderSource,
    /// What the data plane counted.
    pub traffic: TrafficSource,
    /// Which way a request would take.
    pub explainer: Explainer,
    /// What a service is to run now.
    pub deployer: Deployer,
    /// Whether the balancer is told to end; then it is ready for nobody any more.
    pub is_ending: Arc<AtomicBool>,
}

/// The handles of the services of this moment, in their order.
pub type ServiceSource = Box<dyn Fn() -> Vec<Handle> + Send + Sync>;

/// The folder whose files a service answers with, if it has no replicas.
pub type FolderSource = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Says which way a request to a service would take, or what is wrong with the question. The admin
/// API does not know the proxy's key rules.
pub type Explainer = Box<dyn Fn(&str, &ExplainShape) -> Result<ExplanationShape, String> + Send + Sync>;

/// Says what the operator's configuration asks for a service to run, now that it is read anew, or why it
/// cannot be deployed. The admin API knows no configuration.
pub type Deployer = Box<dyn Fn(&str) -> Result<DeployOrder, String> + Send + Sync>;

/// What is to be rolled out.
pub struct DeployOrder {
    /// What replicas shall run.
    pub spec: Spec,
    /// How one release gives way to the other.
    pub rollout: RolloutSettings,
    /// What else the configuration asks for now that this does not bring about, and what would.
    pub notes: Vec<String>,
}

type Answer = Result<Response<AnswerBody>, Problem>;

impl Admin {
    /// An admin API for the services that there are at each request, which answers whom this means.
    pub fn new(journal: Journal, sources: Sources, access: Access) -> Self {
        Self { journal, sources, access, connections: Arc::default(), outputs: Outputs::default() }
    }

    /// Serves until dropped.
    pub async fn serve(self, listener: AdminListener) {
        let admin = Arc::new(self);
        loop {
            let accepted = match &listener {
                AdminListener::Tcp(listener) => {
                    let accepted = listener.accept().await;
                    accepted.map(|(stream, _)| admin.take_in(stream, Door::Tcp))
                }
                AdminListener::Unix(listener, _) => listener.accept().await.map(|(stream, _)| {
                    let door = door_of(&stream);
                    admin.take_in(stream, door);
                }),
            };
            if let Err(error) = accepted {
                tracing::warn!(%error, "the admin listener could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn take_in(self: &Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, door: Door) {
        match self.connections.take_in() {
            Some(place) => {
                tokio::spawn(connection(Arc::clone(self), stream, door, place));
            }
            None => tracing::warn!("a connection to the admin API was closed: all others are at work"),
        }
    }

    async fn answer(&self, request: Request<Incoming>, door: Door) -> Response<AnswerBody> {
        let path = request.uri().path().to_string();
        // Who may GET may ask for the head alone.
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let found = Route::find(method.as_str(), &path);
        let answer = match (self.admit(&request, door, &found), found) {
            (Err(problem), _) => Err(problem),
            (Ok(()), Ok(call)) => self.dispatch(call, request).await,
            (Ok(()), Err(Unknown::Method)) => return wrong_method(&path),
            (Ok(()), Err(Unknown::OfService(service))) => self
                .find(service)
                .and_then(|_| Err(not_found(format!("a service has: {}", Route::summary_of_service())))),
            (Ok(()), Err(Unknown::Path)) => Err(not_found("there is no such endpoint; see GET /v1/services")),
        };
        answer.unwrap_or_else(|problem| refused(&problem))
    }

    /// Whether whoever asks may ask this, before anything is looked at or done.
    fn admit(
        &self,
        request: &Request<Incoming>,
        door: Door,
        found: &Result<Call<'_>, Unknown<'_>>,
    ) -> Result<(), Problem> {
        let head = Head { method: request.method(), uri: request.uri(), headers: request.headers() };
        self.access.check_origin(door, &head)?;
        // Whoever watches over the process has no token, and learns nothing but that.
        if matches!(found, Ok(Call { route: Route::Livez | Route::Readyz, .. })) {
            return Ok(());
        }
        let role = self.access.role(door, &head)?;
        if let Ok(call) = found {
            let asked = call.route.endpoint().role;
            if role < asked {
                let detail =
                    format!("this token is for the role {}, not for {}", role.as_str(), asked.as_str());
                return Err(problem(StatusCode::FORBIDDEN, detail));
            }
            check_kind(&head)?;
        }
        Ok(())
    }

    /// Every route with what answers it.
    async fn dispatch(&self, call: Call<'_>, request: Request<Incoming>) -> Answer {
        let handle = || self.find(call.service);
        let of_replicas = || self.find_replicas(call.service);
        match call.route {
            Route::Livez => Ok(text("ok\n".into())),
            Route::Readyz => self.readiness(),
            Route::Metrics => Ok(self.metrics()),
            Route::Services => {
                Ok(json(&self.services().iter().map(|handle| self.shown(handle)).collect::<Vec<_>>()))
            }
            Route::Events => Ok(json(&happenings::events(&self.journal))),
            Route::Service => Ok(json(&self.shown(&handle()?))),
            Route::Replicas => Ok(json(&views::service(&handle()?).replicas)),
            Route::Output => {
                let asked = Asked { replica: call.replica, query: request.uri().query() };
                self.outputs.answer(&self.journal, of_replicas()?, &asked).await
            }
            Route::AddReplicas => edited(&of_replicas()?, addition(&read_json(request).await?)?).await,
            Route::RemoveReplicas => edited(&of_replicas()?, removal(&read_json(request).await?)?).await,
            Route::Scale => edited(&of_replicas()?, scaling(&read_json(request).await?)).await,
            Route::Explain => self.explain(&handle()?, &read_json(request).await?),
            Route::Deploy => self.deploy(&of_replicas()?, &read_json(request).await?).await,
            Route::Pause => paused(&of_replicas()?, pause_length(&read_json(request).await?)?).await,
            Route::Resume => resumed(&of_replicas()?).await,
        }
    }

    fn services(&self) -> Vec<Handle> {
        (self.sources.services)()
    }

    fn find(&self, name: &str) -> Result<Handle, Problem> {
        let found = self.services().into_iter().find(|handle| handle.service() == name);
        found.ok_or_else(|| not_found(format!("there is no service '{name}'")))
    }

    /// The same, for what can only be done with replicas.
    fn find_replicas(&self, name: &str) -> Result<Handle, Problem> {
        let handle = self.find(name)?;
        let Some(folder) = (self.sources.folders)(name) else { return Ok(handle) };
        let detail = format!("service '{name}' answers with the files in {folder}, and has no replicas");
        Err(problem(StatusCode::CONFLICT, detail))
    }

    /// A service as it is now.
    fn shown(&self, handle: &Handle) -> ServiceShape {
        ServiceShape { folder: (self.sources.folders)(handle.service()), ..views::service(handle) }
    }

    /// Ready means: every service that should have replicas has one that takes traffic, and nobody wants us
    /// to end.
    fn readiness(&self) -> Answer {
        if self.sources.is_ending.load(Ordering::Relaxed) {
            return Err(problem(StatusCode::SERVICE_UNAVAILABLE, "the balancer is ending"));
        }
        let mut unready = self.services();
        unready.retain(|handle| {
            let view = handle.view();
            let has_begun = view.beginning.begun().is_some();
            !has_begun || (view.fleet.ready() == 0 && !view.fleet.replicas.is_empty())
        });
        if unready.is_empty() {
            return Ok(text("ready\n".into()));
        }
        // Anybody may ask this; which ones they are is for those who may look.
        let detail = format!("no replica takes traffic for {} of the services", unready.len());
        Err(problem(StatusCode::SERVICE_UNAVAILABLE, detail))
    }

    fn metrics(&self) -> Response<AnswerBody> {
        let page = metrics::page(&self.services(), &self.sources.traffic);
        of_type("application/openmetrics-text; version=1.0.0; charset=utf-8", Bytes::from(page))
    }

    fn explain(&self, handle: &Handle, question: &ExplainShape) -> Answer {
        let explained = (self.sources.explainer)(handle.service(), question);
        explained.map(|shape| json(&shape)).map_err(bad_request)
    }

    async fn deploy(&self, handle: &Handle, asked: &DeployShape) -> Answer {
        let order = (self.sources.deployer)(handle.service());
        let DeployOrder { spec, rollout, notes } =
            order.map_err(|text| problem(StatusCode::CONFLICT, text))?;
        match handle.deploy(Deploy { spec, is_forced: asked.force, settings: rollout }).await {
            Ok(view) => {
                let service = views::service_then(handle, &view);
                let mut response = json(&DeployedShape { has_begun: true, reason: None, notes, service });
                *response.status_mut() = StatusCode::ACCEPTED;
                Ok(response)
            }
            Err(EditError::Refused(refusal @ Refusal::NothingToDeploy)) => {
                let (reason, service) = (Some(refusal.to_string()), views::service(handle));
                Ok(json(&DeployedShape { has_begun: false, reason, notes, service }))
            }
            Err(error) => Err(of_edit(&error)),
        }
    }
}

async fn connection(
    admin: Arc<Admin>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    door: Door,
    place: Connection,
) {
    let end = place.end();
    let service = service_fn(|request| {
        let (admin, work) = (Arc::clone(&admin), place.work());
        async move {
            // It is worked on until all of the answer is sent, or cannot be.
            let answer = admin.answer(request, door).await;
            // It is worked on until all of the answer is sent, or cannot be: the work goes with the body.
            let answer = answer.map(|body| {
                body.map_err(move |never| {
                    let _ = &work;
                    never
                })
            });
            Ok::<_, Infallible>(answer)
        }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    tokio::select! {
        served = server.serve_connection(TokioIo::new(stream), service) => {
            if let Err(error) = served {
                tracing::debug!(%error, "an admin connection ended badly");
            }
        }
        () = end => tracing::debug!("an idle admin connection was closed"),
    }
}

/// Whoever is at the other end of a Unix socket, as the kernel says.
fn door_of(stream: &UnixStream) -> Door {
    let uid = stream.peer_cred().map(|peer| peer.uid());
    match uid {
        Ok(uid) if uid == 0 || uid == geteuid().as_raw() => Door::OwnAccount,
        _ => Door::OtherAccount,
    }
}

/// A refusal, and what HTTP wants beside it.
fn refused(problem: &Problem) -> Response<AnswerBody> {
    match problem.status {
        401 => with_field(refusal(problem), WWW_AUTHENTICATE, "Bearer realm=\"evenkeel\""),
        _ => refusal(problem),
    }
}

fn wrong_method(path: &str) -> Response<AnswerBody> {
    let allowed = Route::methods_at(path).join(", ");
    let detail = format!("this endpoint knows {allowed}");
    with_field(refusal(&problem(StatusCode::METHOD_NOT_ALLOWED, detail)), ALLOW, &allowed)
}

fn with_field(mut response: Response<AnswerBody>, name: HeaderName, value: &str) -> Response<AnswerBody> {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

async fn edited(handle: &Handle, edit: Edit) -> Answer {
    after(handle, handle.edit(edit).await)
}

async fn paused(handle: &Handle, length: Duration) -> Answer {
    after(handle, handle.pause(length).await)
}

async fn resumed(handle: &Handle) -> Answer {
    after(handle, handle.resume().await)
}

/// A service after something was done with it, or why it was not done.
fn after(handle: &Handle, done: Result<Arc<ServiceView>, EditError>) -> Answer {
    let view = done.map_err(|error| of_edit(&error))?;
    Ok(json(&views::service_then(handle, &view)))
}

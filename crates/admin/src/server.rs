//! The admin API's server: from a request by its route to a question or an edit, and back.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use api::{Call, DeployShape, DeployedShape, ExplainShape, ExplanationShape, Problem, Route, Unknown};
use bytes::Bytes;
use control::{Deploy, EditError, Handle, Journal, ServiceView};
use driver::Spec;
use fleet::{Edit, Refusal, RolloutSettings};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::bodies::{addition, json, of_type, pause_length, read_json, refusal, removal, scaling, text};
use crate::listener::AdminListener;
use crate::metrics::{self, TrafficSource};
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
/// use admin::{Admin, AdminListener, Sources, Traffic};
/// use control::Journal;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let sources = Sources {
///     services: Box::new(Vec::new),
///     traffic: Box::new(Traffic::default),
///     explainer: Box::new(|service, _| Err(format!("nobody can explain '{service}'"))),
///     deployer: Box::new(|service| Err(format!("nothing is known of '{service}'"))),
/// };
/// let listener = AdminListener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
/// let address = listener.address();
/// tokio::spawn(Admin::new(Journal::default(), sources).serve(listener));
///
/// let answer = tokio::task::spawn_blocking(move || {
///     let mut stream = std::net::TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
///     stream.write_all(b"GET /v1/services HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
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
}

/// Where the admin API asks for what control does not know. The program connects them.
pub struct Sources {
    /// The services that there are.
    pub services: ServiceSource,
    /// What the data plane counted.
    pub traffic: TrafficSource,
    /// Which way a request would take.
    pub explainer: Explainer,
    /// What a service is to run now.
    pub deployer: Deployer,
}

/// The handles of the services of this moment, in their order.
pub type ServiceSource = Box<dyn Fn() -> Vec<Handle> + Send + Sync>;

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
}

type Answer = Result<Response<Full<Bytes>>, Problem>;

impl Admin {
    /// An admin API for the services that there are at each request.
    pub fn new(journal: Journal, sources: Sources) -> Self {
        Self { journal, sources }
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
        let answer = match Route::find(request.method().as_str(), &path) {
            Ok(call) => self.dispatch(call, request).await,
            Err(Unknown::OfService(service)) => self
                .find(service)
                .and_then(|_| Err(not_found(format!("a service has: {}", Route::summary_of_service())))),
            Err(Unknown::Path) => Err(not_found("there is no such endpoint; see GET /v1/services")),
        };
        answer.unwrap_or_else(|problem| refusal(&problem))
    }

    /// Every route with what answers it.
    async fn dispatch(&self, call: Call<'_>, request: Request<Incoming>) -> Answer {
        let handle = || self.find(call.service);
        match call.route {
            Route::Livez => Ok(text("ok\n".into())),
            Route::Readyz => self.readiness(),
            Route::Metrics => Ok(self.metrics()),
            Route::Services => Ok(json(&self.services().iter().map(views::service).collect::<Vec<_>>())),
            Route::Events => Ok(json(&happenings::events(&self.journal))),
            Route::Service => Ok(json(&views::service(&handle()?))),
            Route::Replicas => Ok(json(&views::service(&handle()?).replicas)),
            Route::AddReplicas => edited(&handle()?, addition(&read_json(request).await?)?).await,
            Route::RemoveReplicas => edited(&handle()?, removal(&read_json(request).await?)?).await,
            Route::Scale => edited(&handle()?, scaling(&read_json(request).await?)).await,
            Route::Explain => self.explain(&handle()?, &read_json(request).await?),
            Route::Deploy => self.deploy(&handle()?, &read_json(request).await?).await,
            Route::Pause => paused(&handle()?, pause_length(&read_json(request).await?)?).await,
            Route::Resume => resumed(&handle()?).await,
        }
    }

    fn services(&self) -> Vec<Handle> {
        (self.sources.services)()
    }

    fn find(&self, name: &str) -> Result<Handle, Problem> {
        let found = self.services().into_iter().find(|handle| handle.service() == name);
        found.ok_or_else(|| not_found(format!("there is no service '{name}'")))
    }

    /// Ready means: every service that should have replicas has one that takes traffic.
    fn readiness(&self) -> Answer {
        let mut unready = self.services();
        unready.retain(|handle| {
            let view = handle.view();
            view.fleet.ready() == 0 && !view.fleet.replicas.is_empty()
        });
        if unready.is_empty() {
            return Ok(text("ready\n".into()));
        }
        let names: Vec<&str> = unready.iter().map(Handle::service).collect();
        let detail = format!("no replica takes traffic for: {}", names.join(", "));
        Err(problem(StatusCode::SERVICE_UNAVAILABLE, detail))
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let page = metrics::page(&self.services(), &self.sources.traffic);
        of_type("application/openmetrics-text; version=1.0.0; charset=utf-8", Bytes::from(page))
    }

    fn explain(&self, handle: &Handle, question: &ExplainShape) -> Answer {
        let explained = (self.sources.explainer)(handle.service(), question);
        explained.map(|shape| json(&shape)).map_err(bad_request)
    }

    async fn deploy(&self, handle: &Handle, asked: &DeployShape) -> Answer {
        let order = (self.sources.deployer)(handle.service());
        let DeployOrder { spec, rollout } = order.map_err(|text| problem(StatusCode::CONFLICT, text))?;
        match handle.deploy(Deploy { spec, is_forced: asked.force, settings: rollout }).await {
            Ok(view) => {
                let service = views::service_then(handle, &view);
                let mut response = json(&DeployedShape { has_begun: true, reason: None, service });
                *response.status_mut() = StatusCode::ACCEPTED;
                Ok(response)
            }
            Err(EditError::Refused(refusal @ Refusal::NothingToDeploy)) => {
                let (reason, service) = (Some(refusal.to_string()), views::service(handle));
                Ok(json(&DeployedShape { has_begun: false, reason, service }))
            }
            Err(error) => Err(of_edit(&error)),
        }
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

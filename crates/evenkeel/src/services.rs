//! The services of the program: how one is added, and how it goes again while the others serve on. The
//! start of the program adds those of its configuration in the same way.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use config::{DriverChoice, ServiceSettings, Settings};
use control::{Entry, Handle, Registry};
use fleet::{FleetView, ReplicaState, in_full};
use proxy::{Destinations, Pages, Redirect, RoutesPublisher, RoutesReader, Sticky};

use crate::wiring::{self, Shared};
use crate::{pages, say};

/// How long all replicas that were there before are waited for, once some of them take traffic.
const TAKE_UP_PATIENCE: Duration = Duration::from_secs(5);

/// How much longer than one start of a replica its service is waited for, to hear what came of it.
const START_MARGIN: Duration = Duration::from_secs(1);

/// How much longer than draining and stopping the end of a fleet may take, where the engine is away.
pub(crate) const END_MARGIN: Duration = Duration::from_secs(15);

/// All services. What runs of them is in the registry, and what requests see of that in the routes.
pub(crate) struct Services {
    shared: Shared,
    /// The service that the contract's endpoints are about, if there is one.
    contract: Option<String>,
    registry: Registry<Begun>,
    /// Who is sent elsewhere, whatever the services.
    redirects: Vec<Redirect>,
    routes: RoutesPublisher,
    routes_seen: RoutesReader,
}

/// What the program keeps with a service.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) settings: ServiceSettings,
    /// What keeps its sessions where they are, if they are kept.
    pub(crate) sticky: Option<Sticky>,
    /// The pages that stand for errors, if there are any.
    pub(crate) pages: Option<Arc<Pages>>,
}

impl Begun {
    /// How long its replicas may take to finish what they have, and to end.
    pub(crate) fn end_limit(&self) -> Duration {
        self.settings.drain_deadline + self.settings.stop_timeout
    }
}

/// Whether an earlier balancer left replicas of a service that run.
pub(crate) fn had_replicas(entry: &Entry<Begun>) -> bool {
    entry.control.handle.view().beginning.begun().is_some_and(|begun| begun.found > 0)
}

impl Services {
    /// None yet. If the contract is on, it is about the first of the configuration.
    pub(crate) fn new(shared: Shared, settings: &Settings) -> Self {
        let first = settings.services.first().filter(|_| settings.contract);
        let contract = first.map(|service| service.name.clone());
        let (routes, routes_seen) = proxy::routes(Destinations::default());
        let redirects = settings.redirects.clone();
        Self { shared, contract, registry: Registry::default(), redirects, routes, routes_seen }
    }

    /// What all services share.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The ways to them, for requests.
    pub(crate) fn routes(&self) -> RoutesReader {
        self.routes_seen.clone()
    }

    /// Those that there are, for as long as they are.
    pub(crate) fn registry(&self) -> &Registry<Begun> {
        &self.registry
    }

    /// Which of them answer with files, for whoever asks.
    pub(crate) fn folders(&self) -> admin::FolderSource {
        let registry = self.registry.clone();
        Box::new(move |name| match &registry.find(name)?.attached.settings.driver {
            DriverChoice::Files { folder } => Some(folder.root.display().to_string()),
            DriverChoice::Process { .. } | DriverChoice::Docker { .. } | DriverChoice::Static { .. } => None,
        })
    }

    /// The service that the contract's endpoints are about, if there is one.
    pub(crate) fn contract(&self) -> Option<&str> {
        self.contract.as_deref()
    }

    /// Adds a service: starts its control, brings it to its replicas, and then lets requests in. If
    /// that fails, nothing of it is left but what an earlier balancer had left.
    #[allow(dead_code, reason = "the tests use it; its command comes with the reload of the configuration")]
    pub(crate) async fn add(&mut self, settings: ServiceSettings) -> Result<(), String> {
        let name = settings.name.clone();
        self.begin(settings)?;
        let Some(entry) = self.registry.find(&name) else { return Ok(()) };
        if let Err(text) = come_up(&entry).await {
            if !had_replicas(&entry) {
                entry.control.handle.retire().await;
            }
            self.registry.remove(&name);
            return Err(text);
        }
        self.registry.open(&name);
        self.publish();
        Ok(())
    }

    /// Removes a service: no new requests, then no replicas, drained, then nothing. What should run of
    /// it stays stored. The error says that its replicas could not be ended in time.
    #[allow(dead_code, reason = "the tests use it; its command comes with the reload of the configuration")]
    pub(crate) async fn remove(&mut self, name: &str) -> Result<(), String> {
        let Some(entry) = self.registry.find(name) else {
            return Err(format!("there is no service '{name}'"));
        };
        self.registry.close(name);
        self.publish();
        let limit = entry.attached.end_limit() + END_MARGIN;
        let retired = tokio::time::timeout(limit, entry.control.handle.retire()).await;
        self.registry.remove(name);
        retired.map_err(|_| format!("not all replicas of service '{name}' could be ended; the log says why"))
    }

    /// Starts the control of a service, which begins as soon as it can: takes up what is left of its fleet,
    /// or begins one. An error says that it never could as it is configured.
    pub(crate) fn begin(&self, settings: ServiceSettings) -> Result<(), String> {
        let what_runs = wiring::spec(&settings, &self.shared.identity);
        what_runs.map_err(|error| format!("service '{}': {}", settings.name, in_full(&error)))?;
        let pages = pages::of_service(&settings)?;
        let is_contract = self.contract.as_ref() == Some(&settings.name);
        let control = wiring::start_control(&settings, is_contract, &self.shared);
        let sticky = wiring::sticky(&settings, &self.shared.identity);
        self.registry.insert(control, Begun { settings, sticky, pages }).map_err(|error| error.to_string())
    }

    /// Waits until each service is whole, or it is known why it is not, and tells of it as it goes. The error
    /// names all that are not whole, with the reasons.
    pub(crate) fn come_up(&self) -> impl Future<Output = Result<(), String>> + use<> {
        let entries = self.registry.entries();
        async move {
            let coming = entries.iter().map(come_up);
            let came = futures_util::future::join_all(coming).await;
            let failed: Vec<String> = came.into_iter().filter_map(Result::err).collect();
            if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
        }
    }

    /// Routes requests to every service.
    pub(crate) fn open(&mut self) {
        for entry in self.registry.entries().iter() {
            self.registry.open(entry.name());
        }
        self.publish();
    }

    /// Stops all replicas of these services, drained, without changing what should run.
    pub(crate) async fn retire(&self, is_meant: impl Fn(&Entry<Begun>) -> bool) {
        let entries = self.registry.entries();
        let meant = entries.iter().filter(|entry| is_meant(entry));
        futures_util::future::join_all(meant.map(|entry| entry.control.handle.retire())).await;
    }

    fn publish(&mut self) {
        let entries = self.registry.entries();
        let open = entries.iter().filter(|entry| entry.is_open);
        let planes = open.map(|entry| {
            let is_contract = self.contract.as_deref() == Some(entry.name());
            let Begun { settings, sticky, pages } = &*entry.attached;
            let plane = wiring::data_plane(settings, sticky.as_ref(), is_contract, &entry.control);
            proxy::ServiceSettings { error_pages: pages.clone(), ..plane }
        });
        self.routes.publish(Destinations { services: planes.collect(), redirects: self.redirects.clone() });
    }
}

/// Waits until a service is whole, or it is known why it is not, and tells of it as it goes. It comes up
/// without this, too.
async fn come_up(entry: &Entry<Begun>) -> Result<(), String> {
    let (service, handle) = (&entry.attached.settings, &entry.control.handle);
    let begun_at = Instant::now();
    let begun = match handle.attempted().await {
        Ok(begun) => begun,
        Err(why) => return Err(format!("service '{}': {why}", service.name)),
    };
    if let DriverChoice::Files { folder } = &service.driver {
        say!("  service {}: files of {}", service.name, folder.root.display());
        return Ok(());
    }
    let count = handle.view().fleet.replicas.len();
    let verb = match (begun.found > 0, service.is_owned()) {
        (true, _) => "taking up",
        (false, true) => "starting",
        (false, false) => "watching",
    };
    say!("  service {}: {verb} {count} {} …", service.name, what(&service.driver, count));
    if begun.is_restored && count != service.replicas as usize {
        let asked = service.replicas;
        say!("    (what was asked for before counts, not replicas = {asked}; `evenkeel scale` changes it)");
    }
    match (service.is_owned(), begun.found > 0) {
        // They need not be well for the service to begin.
        (false, _) => {}
        (true, true) => take_up(service, handle).await,
        (true, false) => {
            let limit = service.start_timeout + START_MARGIN;
            let _ = tokio::time::timeout(limit, handle.whole_or_failing()).await;
        }
    }
    let view = handle.view();
    let names: Vec<&str> = view.fleet.names().map(|name| name.as_str()).collect();
    let ready = view.fleet.ready();
    say!(
        "  service {}: {ready} of {} ready after {:.2?}: {}",
        service.name,
        names.len(),
        begun_at.elapsed(),
        names.join(", ")
    );
    let is_up = ready == names.len() || !service.is_owned();
    if is_up { Ok(()) } else { Err(missing(&service.name, &view.fleet)) }
}

/// Who does not take traffic, and why.
fn missing(service: &str, fleet: &FleetView) -> String {
    let unready = fleet.replicas.iter().filter(|replica| replica.state != ReplicaState::Ready);
    let told = unready.map(|replica| {
        let reason = replica.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let lines = replica.crash_loop.as_ref().map(|crash_loop| crash_loop.last_output.as_slice());
        let lines = lines.filter(|lines| lines.len() > 1).unwrap_or_default();
        let told = format!("\n  {} is {}{reason}", replica.name, replica.state.as_str());
        lines.iter().fold(told, |told, line| told + "\n    | " + line)
    });
    let told: String = told.collect();
    format!("service '{service}': {} of {} ready{told}", fleet.ready(), fleet.replicas.len())
}

/// Waits for replicas that were there before. Some that do not come back must not keep the others
/// from serving.
async fn take_up(service: &ServiceSettings, handle: &Handle) {
    let patience = TAKE_UP_PATIENCE.min(service.start_timeout);
    if tokio::time::timeout(patience, handle.whole_or_failing()).await.is_ok() {
        return;
    }
    let _ = tokio::time::timeout(service.start_timeout, handle.some_ready()).await;
    tracing::warn!(service = %service.name, "not every replica is back; those that are serve");
}

/// What the replicas are called in start-up lines.
pub(crate) fn what(driver: &DriverChoice, count: usize) -> &'static str {
    match (driver, count) {
        (DriverChoice::Process { .. }, 1) => "process",
        (DriverChoice::Process { .. }, _) => "processes",
        (DriverChoice::Docker { .. }, 1) => "container",
        (DriverChoice::Docker { .. }, _) => "containers",
        (DriverChoice::Static { .. }, 1) => "address",
        (DriverChoice::Static { .. }, _) => "addresses",
        (DriverChoice::Files { .. }, _) => "files",
    }
}

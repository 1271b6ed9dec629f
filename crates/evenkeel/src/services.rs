//! The services of the program: how one is added, and how it goes again while the others serve on. The
//! start of the program adds those of its configuration in the same way.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use config::{DriverChoice, ServiceSettings, Settings};
use control::{Entry, Handle, Registry};
use fleet::{Edit, in_full};
use proxy::{RoutesPublisher, RoutesReader};

use crate::say;
use crate::wiring::{self, Shared};

/// How long all replicas that were there before are waited for, once some of them take traffic.
const TAKE_UP_PATIENCE: Duration = Duration::from_secs(5);

/// How much longer than draining and stopping the end of a fleet may take, where the engine is away.
pub(crate) const END_MARGIN: Duration = Duration::from_secs(15);

/// All services. What runs of them is in the registry, and what requests see of that in the routes.
pub(crate) struct Services {
    shared: Shared,
    /// The service that the contract's endpoints are about, if there is one.
    contract: Option<String>,
    registry: Registry<Begun>,
    routes: RoutesPublisher,
    routes_seen: RoutesReader,
}

/// What the program keeps with a service.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) settings: ServiceSettings,
    /// Whether an earlier balancer left replicas, or wanted some.
    pub(crate) had_replicas: bool,
}

impl Begun {
    /// How long its replicas may take to finish what they have, and to end.
    pub(crate) fn end_limit(&self) -> Duration {
        self.settings.drain_deadline + self.settings.stop_timeout
    }
}

impl Services {
    /// None yet. If the contract is on, it is about the first of the configuration.
    pub(crate) fn new(shared: Shared, settings: &Settings) -> Self {
        let first = settings.services.first().filter(|_| settings.contract);
        let contract = first.map(|service| service.name.clone());
        let (routes, routes_seen) = proxy::routes(Vec::new());
        Self { shared, contract, registry: Registry::default(), routes, routes_seen }
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

    /// The service that the contract's endpoints are about, if there is one.
    pub(crate) fn contract(&self) -> Option<&str> {
        self.contract.as_deref()
    }

    /// Adds a service: starts its control, brings it to its replicas, and then lets requests in. If
    /// that fails, nothing of it is left but what an earlier balancer had left.
    #[allow(dead_code, reason = "the tests use it; its command comes with the reload of the configuration")]
    pub(crate) async fn add(&mut self, settings: ServiceSettings) -> Result<(), String> {
        let name = settings.name.clone();
        self.begin(settings).await?;
        let Some(entry) = self.registry.find(&name) else { return Ok(()) };
        if let Err(text) = fill(&entry).await {
            if !entry.attached.had_replicas {
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

    /// Starts the control of a service, which takes up what is left of its fleet and begins nothing new.
    pub(crate) async fn begin(&self, settings: ServiceSettings) -> Result<(), String> {
        let is_contract = self.contract.as_ref() == Some(&settings.name);
        let control = wiring::start_control(&settings, is_contract, &self.shared).await;
        let control = control.map_err(|error| format!("service '{}': {}", settings.name, in_full(&error)))?;
        let had_replicas = !control.handle.view().fleet.replicas.is_empty();
        let begun = Begun { settings, had_replicas };
        self.registry.insert(control, begun).map_err(|error| error.to_string())
    }

    /// Brings every service to the replicas that it should have.
    pub(crate) async fn fill(&self) -> Result<(), String> {
        let entries = self.registry.entries();
        futures_util::future::try_join_all(entries.iter().map(fill)).await.map(|_| ())
    }

    /// Routes requests to every service.
    pub(crate) fn open(&mut self) {
        for entry in self.registry.entries().iter() {
            self.registry.open(entry.name());
        }
        self.publish();
    }

    /// Stops all replicas of these services, drained, without changing what should run.
    pub(crate) async fn retire(&self, is_meant: impl Fn(&Begun) -> bool) {
        let entries = self.registry.entries();
        let meant = entries.iter().filter(|entry| is_meant(&entry.attached));
        futures_util::future::join_all(meant.map(|entry| entry.control.handle.retire())).await;
    }

    fn publish(&mut self) {
        let entries = self.registry.entries();
        let open = entries.iter().filter(|entry| entry.is_open);
        let planes = open.map(|entry| {
            let is_contract = self.contract.as_deref() == Some(entry.name());
            wiring::data_plane(&entry.attached.settings, is_contract, &entry.control)
        });
        self.routes.publish(planes.collect());
    }
}

/// Brings a service to the replicas that it should have.
async fn fill(entry: &Entry<Begun>) -> Result<(), String> {
    let (service, control) = (&entry.attached.settings, &entry.control);
    let begun = Instant::now();
    let found = control.handle.view().fleet.replicas.len();
    let count = if control.is_restored { found } else { found.max(service.replicas as usize) };
    let verb = match (found > 0, service.is_owned()) {
        (true, _) => "taking up",
        (false, true) => "starting",
        (false, false) => "watching",
    };
    say!("  service {}: {verb} {count} {} …", service.name, what(&service.driver, count));
    if control.is_restored && count != service.replicas as usize {
        let asked = service.replicas;
        say!("    (what was asked for before counts, not replicas = {asked}; `evenkeel scale` changes it)");
    }
    if !control.is_restored {
        let filled = control.handle.edit(Edit::Fill { count: service.replicas }).await;
        filled.map_err(|error| format!("service '{}': {error}", service.name))?;
    }
    if found > 0 && service.is_owned() {
        take_up(service, &control.handle).await;
    }
    let view = control.handle.view();
    let names: Vec<&str> = view.fleet.names().map(|name| name.as_str()).collect();
    say!(
        "  service {}: {} of {} ready after {:.2?}: {}",
        service.name,
        view.fleet.ready(),
        names.len(),
        begun.elapsed(),
        names.join(", ")
    );
    Ok(())
}

/// Waits for replicas that were there before. Some that do not come back must not keep the others
/// from serving.
async fn take_up(service: &ServiceSettings, handle: &Handle) {
    let patience = TAKE_UP_PATIENCE.min(service.start_timeout);
    if tokio::time::timeout(patience, handle.whole()).await.is_ok() {
        return;
    }
    let _ = tokio::time::timeout(service.start_timeout, handle.some_ready()).await;
    tracing::warn!(service = %service.name, "not every replica is back; serving with those that are");
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
    }
}

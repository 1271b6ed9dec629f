//! Where clients come in: certificates, listener sockets and the access log, from the settings to
//! their end. What happens to requests is not known here.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use admin::{Contract, PolicyCount, ServiceTraffic, Traffic, TrafficSource};
use bytes::Bytes;
use config::Settings;
use control::Registry;
use fleet::in_full;
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use ipnet::IpNet;
use proxy::{
    AccessLog, AccessLogDestination, AccessLogSettings, ClientSettings, Limit, Listeners, LocalEndpoints,
    LocalResponse, Mark, MemoryUse, ProxyHandle, ProxySettings, ResponseStyle, ServiceCounters, SharedLimits,
    TlsServer, TlsSettings,
};

use crate::descriptors::Budget;
use crate::services::{Begun, Services};
use crate::{memory, neighbours, pages, say};

/// How long the last lines of the access log are waited for.
const ACCESS_LOG_PATIENCE: Duration = Duration::from_secs(5);

/// What listeners are bound for: certificates are loaded, sockets not yet made.
pub(crate) type Doors = Vec<proxy::ListenerSettings>;

/// Loads the certificates and error pages of all listeners. The error says all that is wrong, a line each.
pub(crate) fn load(settings: &Settings) -> Result<Doors, String> {
    let mut doors = Vec::new();
    let mut wrong = Vec::new();
    for listener in settings.all_listeners() {
        let address = listener.address;
        let is_http2 = listener.is_http2;
        let tls = listener.tls.clone().map(|tls| TlsServer::load(&TlsSettings { is_http2, ..tls }));
        let tls = tls.transpose().map_err(|error| format!("listener {address}: {}", in_full(&error)));
        match tls.and_then(|tls| Ok((tls, pages::of_listener(&listener)?))) {
            Ok((tls, error_pages)) => {
                doors.push(proxy::ListenerSettings {
                    address,
                    name: listener.name,
                    tls,
                    is_http2,
                    proxy_protocol: listener.proxy_protocol,
                    proxy_protocol_from: listener.proxy_protocol_from,
                    redirect: listener.is_redirecting.then_some(listener.redirect),
                    unmatched: listener.unmatched,
                    response_headers: listener.response_headers,
                    error_pages,
                });
            }
            Err(text) => wrong.push(format!("error: {text}")),
        }
    }
    if wrong.is_empty() { Ok(doors) } else { Err(wrong.join("\n")) }
}

/// Listeners that are bound, and the open access log; nobody is served yet.
pub(crate) struct Entrance {
    doors: Doors,
    listeners: Listeners,
    access_log: Option<AccessLog>,
    counters: Arc<OnceLock<ServiceCounters>>,
}

impl Entrance {
    /// Takes the addresses, opens the access log, and begins to look after the certificates.
    pub(crate) fn open(settings: &Settings, doors: Doors) -> Result<Self, String> {
        let listeners = Listeners::bind(&doors, settings.workers).map_err(|error| {
            let is_flag_enough = settings.listeners.is_empty();
            let help = if is_flag_enough { "; choose another address with --listen" } else { "" };
            format!("{}{help}", in_full(&error))
        })?;
        for tls in doors.iter().filter_map(|door| door.tls.as_ref()) {
            tls.watch().map_err(|error| format!("cannot watch certificates: {error}"))?;
        }
        let access_log = settings.access_log.as_ref().map(|log| {
            let shown = match &log.destination {
                AccessLogDestination::Stdout => "standard output".into(),
                AccessLogDestination::Stderr => "standard error".into(),
                AccessLogDestination::File(path) => path.display().to_string(),
            };
            AccessLog::start(log).map_err(|error| format!("cannot write the access log to {shown}: {error}"))
        });
        Ok(Self { doors, listeners, access_log: access_log.transpose()?, counters: Arc::default() })
    }

    /// Where the first listener is.
    pub(crate) fn address(&self) -> SocketAddr {
        let address = self.listeners.addresses().first().copied();
        address.expect("the check has seen to it that there is a listener")
    }

    /// What can be renewed while it is in use.
    pub(crate) fn renewable(&self, settings: &Settings) -> Renewable {
        let addresses = self.listeners.addresses();
        let servers = addresses.into_iter().zip(&self.doors);
        let tls = servers.filter_map(|(address, door)| Some((address, door.tls.clone()?)));
        let is_file = |log: &AccessLogSettings| matches!(log.destination, AccessLogDestination::File(_));
        let has_file = settings.access_log.as_ref().is_some_and(is_file);
        Renewable { tls: tls.collect(), access_log: self.access_log.clone().filter(|_| has_file) }
    }

    /// Reads what the data plane counts, as soon as it does.
    pub(crate) fn traffic(&self) -> TrafficSource {
        let (counters, access_log) = (Arc::clone(&self.counters), self.access_log.clone());
        Box::new(move || Traffic {
            services: counters.get().map(traffic_of).unwrap_or_default(),
            connections: counters.get().map(ServiceCounters::connections).unwrap_or_default(),
            memory: counters.get().map(|counters| {
                let MemoryUse { kept, limit } = counters.memory();
                (kept, limit)
            }),
            defences: counters.get().map(ServiceCounters::defences).unwrap_or_default(),
            refusals: counters.get().map(ServiceCounters::refusals).unwrap_or_default(),
            policies: counters.get().map(policies_of).unwrap_or_default(),
            failed_handshakes: counters.get().map(ServiceCounters::failed_handshakes).unwrap_or_default(),
            replica_connections: counters.get().map(|counters| counters.replica_connections().taken),
            access_log_dropped_lines: access_log.as_ref().map(AccessLog::dropped),
        })
    }

    /// What the data plane counts, as soon as it does.
    pub(crate) fn counting(&self) -> Arc<OnceLock<ServiceCounters>> {
        Arc::clone(&self.counters)
    }

    /// Lets clients in, and says where.
    pub(crate) fn serve(
        self,
        settings: &Settings,
        services: &Services,
        budget: Budget,
    ) -> std::io::Result<Serving> {
        let addresses = self.listeners.addresses();
        let proxy = self.listeners.serve(&ProxySettings {
            routes: services.routes(),
            local: local_endpoints(settings, services),
            drain_deadline: settings.services.iter().map(|one| one.drain_deadline).max().unwrap_or_default(),
            clients: ClientSettings {
                connections_max: budget.clients,
                memory_max: memory::max(settings.memory_max),
                ..settings.clients.clone()
            },
            access_log: self.access_log.clone(),
            limits: SharedLimits { requests: budget.requests, replica_connections: budget.replicas },
        })?;
        let _ = self.counters.set(proxy.counters());
        let contract = settings.contract.then_some("/rep, /add and /rm");
        for (index, (address, door)) in addresses.iter().zip(&self.doors).enumerate() {
            let scheme = if door.tls.is_some() { "https" } else { "http" };
            let protocol = door.proxy_protocol.then_some("the PROXY protocol");
            let notes: Vec<&str> = protocol.into_iter().chain(contract).collect();
            let notes =
                if notes.is_empty() { String::new() } else { format!(" (with {})", notes.join(", ")) };
            let workers = if index == 0 { format!(", {} workers", settings.workers) } else { String::new() };
            say!("  listening on {scheme}://{address}{notes}{workers}");
        }
        Ok(Serving { proxy, access_log: self.access_log })
    }
}

/// The data plane at work.
pub(crate) struct Serving {
    proxy: ProxyHandle,
    access_log: Option<AccessLog>,
}

impl Serving {
    /// Lets nobody in any more, waits until everybody has left, and then for the access log. Blocks.
    pub(crate) fn end(self) {
        self.proxy.stop();
        if let Some(log) = self.access_log
            && !log.finish(ACCESS_LOG_PATIENCE)
        {
            tracing::warn!("the last lines of the access log could not be written in time");
        }
    }
}

/// What comes from files that others replace: certificates and the access log.
#[derive(Clone, Default)]
pub(crate) struct Renewable {
    tls: Vec<(SocketAddr, TlsServer)>,
    access_log: Option<AccessLog>,
}

impl Renewable {
    /// Reads certificates again, opens the access log anew, and says so. Blocks.
    pub(crate) fn renew(&self) {
        for (listener, server) in &self.tls {
            if let Err(error) = server.reload() {
                let error = in_full(&error);
                tracing::error!(%listener, error, "new certificates are not used, the old ones still are");
            }
        }
        if let Some(log) = &self.access_log {
            log.reopen();
        }
        let done = match (self.tls.is_empty(), self.access_log.is_some()) {
            (true, false) => "there is nothing to renew",
            (false, false) => "certificates were read again",
            (true, true) => "the access log is opened anew",
            (false, true) => "certificates were read again, and the access log is opened anew",
        };
        tracing::info!("SIGHUP: {done}; the configuration is read at the start only");
    }
}

fn traffic_of(counters: &ServiceCounters) -> Vec<ServiceTraffic> {
    let traffic = counters.totals().into_iter().map(|(service, totals)| ServiceTraffic {
        service,
        responses: totals.responses,
        attempts: totals.attempts,
        replays: totals.replays,
        losses: totals.losses,
        waits: totals.waits,
        limited: Limit::ALL.into_iter().map(Limit::name).zip(totals.limited).collect(),
        unserved: totals.unserved,
    });
    traffic.collect()
}

/// What policies did: with requests of services, and with those that none is for.
fn policies_of(counters: &ServiceCounters) -> Vec<PolicyCount> {
    let of_services = counters.totals().into_iter().map(|(service, totals)| (service, totals.marked));
    let all = of_services.chain([(String::new(), counters.marked_elsewhere())]);
    let count = |(service, marked): (String, [u64; Mark::ALL.len()])| {
        Mark::ALL.into_iter().zip(marked).map(move |(mark, count)| PolicyCount {
            service: service.clone(),
            policy: mark.policy(),
            outcome: mark.outcome(),
            count,
        })
    };
    all.flat_map(count).collect()
}

fn local_endpoints(settings: &Settings, services: &Services) -> Option<Arc<dyn LocalEndpoints>> {
    let (registry, service) = (services.registry().clone(), services.contract()?.to_string());
    let from = neighbours::networks(&settings.contract_from).into();
    Some(Arc::new(ContractEndpoints { registry, service, from }))
}

/// Connects two rooms that do not know each other, for as long as the service is there.
#[derive(Debug)]
struct ContractEndpoints {
    registry: Registry<Begun>,
    service: String,
    /// Whom they answer.
    from: Arc<[IpNet]>,
}

impl ContractEndpoints {
    fn contract(&self) -> Option<Contract> {
        self.registry
            .find(&self.service)
            .map(|entry| Contract::new(entry.control.handle, Arc::clone(&self.from)))
    }
}

impl LocalEndpoints for ContractEndpoints {
    fn serves(&self, method: &Method, path: &str) -> bool {
        Contract::serves(method, path) && self.registry.find(&self.service).is_some()
    }

    fn style(&self) -> ResponseStyle {
        ResponseStyle::Contract
    }

    fn answer(&self, head: Parts, client: IpAddr, body: Bytes) -> LocalResponse {
        let contract = self.contract();
        Box::pin(async move {
            let Some(contract) = contract else {
                // It went between the two questions.
                let mut gone = Response::new(Bytes::new());
                *gone.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                return gone;
            };
            let answer: Response<Bytes> = contract.answer(&head, client, body).await;
            answer
        })
    }
}

//! The data plane alone, inside of the test: for settings that no file has and for looks at its gates.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fleet::{
    Address, Gate, Life, Publisher, Replica, ReplicaName, Responses, RoutingTable, Suspicion, routing,
};
use placement::{Member, Placement, Rendezvous, Seat};
use proxy::{
    ClientSettings, KeyRule, ListenerSettings, Listeners, Protocol, ProxyHandle, ProxySettings,
    RequestLimits, ResponseStyle, RoutesPublisher, Scope, ServiceSettings, ServiceTimeouts, SharedLimits,
    Totals,
};
use tokio::sync::mpsc;

/// What is set.
#[derive(Default)]
pub struct Set {
    pub clients: ClientSettings,
    pub timeouts: ServiceTimeouts,
    pub protocol: Protocol,
    pub limits: RequestLimits,
    pub retries: Option<u32>,
    pub shared: SharedLimits,
}

/// A data plane with two workers in front of one service, to which others can be added; dropping it stops
/// it.
pub struct Inside {
    pub address: SocketAddr,
    pub replicas: Vec<Arc<Replica>>,
    pub proxy: Option<ProxyHandle>,
    pub service: ServiceSettings,
    pub routes: RoutesPublisher,
    publisher: Publisher,
    _suspicions: mpsc::Receiver<Suspicion>,
}

impl Inside {
    /// In front of these addresses.
    pub fn new<A: Clone + Into<Address>>(addresses: &[A], set: Set) -> Self {
        let addresses = addresses.iter().cloned().map(Into::into);
        let replicas: Vec<_> = (1..).zip(addresses).map(|(seat, address)| replica(seat, address)).collect();
        let table = RoutingTable::new(1, placement(replicas.len() as u32), &replicas, 0.0);
        let key_hash = table.key_hash();
        let (mut publisher, reader) = routing(table);
        publisher.limit_requests(set.limits.requests_per_replica.unwrap_or(u64::MAX));
        publisher.publish(placement(replicas.len() as u32), &replicas, 0.0);
        let (suspicions, suspected) = mpsc::channel(1024);
        let service = ServiceSettings {
            name: "web".into(),
            scope: Default::default(),
            path_form: Default::default(),
            policies: Default::default(),
            files: None,
            error_pages: None,
            key: KeyRule::Random,
            key_hash,
            sticky: None,
            style: ResponseStyle::Problem,
            protocol: set.protocol,
            timeouts: set.timeouts,
            limits: set.limits,
            retries: set.retries.unwrap_or(1),
            table: reader,
            suspicions,
        };
        let (publishing, routes) = proxy::routes(vec![service.clone()]);
        let listener = ListenerSettings::plain("127.0.0.1:0".parse().unwrap());
        let listeners = Listeners::bind(&[listener], 2).unwrap();
        let address = listeners.addresses()[0];
        let settings = ProxySettings {
            routes,
            local: None,
            drain_deadline: Duration::from_secs(1),
            clients: set.clients,
            access_log: None,
            limits: set.shared,
        };
        let proxy = Some(listeners.serve(&settings).unwrap());
        Self { address, replicas, proxy, service, routes: publishing, publisher, _suspicions: suspected }
    }

    /// How many requests are inside of all replicas.
    pub fn claims(&self) -> u64 {
        self.replicas.iter().map(|replica| replica.gate.claims()).sum()
    }

    /// What was counted until now.
    pub fn totals(&self) -> Totals {
        self.totals_of("web")
    }

    /// The same of another service.
    pub fn totals_of(&self, service: &str) -> Totals {
        self.proxy.as_ref().unwrap().counters().totals()[service]
    }

    /// Another service, at this path, in front of this address. It has to be published.
    pub fn other(&self, name: &str, path: &str, address: impl Into<Address>) -> ServiceSettings {
        let table = RoutingTable::new(1, placement(1), &[replica(1, address.into())], 0.0);
        // Its table never changes, so nobody needs to keep the other end.
        let (_, table) = routing(table);
        ServiceSettings { name: name.into(), scope: Scope::at(path), table, ..self.service.clone() }
    }

    /// Routes to so many of the replicas from now on; the others keep their seats.
    pub fn publish(&mut self, count: usize) {
        self.publisher.publish(placement(self.replicas.len() as u32), &self.replicas[..count], 0.0);
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some(proxy) = self.proxy.take() {
            proxy.stop();
        }
    }
}

fn replica(seat: u32, address: Address) -> Arc<Replica> {
    Arc::new(Replica {
        seat: Seat::new(seat).unwrap(),
        life: Life { seat: Seat::new(seat).unwrap(), incarnation: 1 },
        name: ReplicaName::parse(&format!("web_{seat}")).unwrap(),
        address,
        weight: 1,
        gate: Gate::default(),
        responses: Responses::default(),
    })
}

fn placement(seats: u32) -> Placement {
    let mut placement = Placement::Rendezvous(Rendezvous::default());
    for seat in 1..=seats {
        placement.insert(Member::new(Seat::new(seat).unwrap())).unwrap();
    }
    placement
}

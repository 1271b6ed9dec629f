//! From validated settings to running parts: each room gets its own words for what was configured.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::{Algorithm, DriverChoice, OnExit, ServiceSettings, Settings};
use control::{Control, HeartbeatSettings, Heartbeats, Journal, ReconcilerSettings, StartError, StateDir};
use driver::{
    DockerDriver, DockerSettings, Driver, DriverError, EventSender, KeepSettings, ProcessDriver,
    ProcessSettings, ReplicaEnvironment, ServerId, Spec, StaticDriver,
};
use fleet::FleetSettings;
use placement::{Classic, ClassicSettings, Named, NamedAlgorithm, Placement, Rendezvous, SeatChoice};
use proxy::ResponseStyle;

use crate::{state, tether};

/// How long replicas of a service that is configured no more may take to end; what they were promised
/// is not known any more.
const ORPHAN_STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What all services of a balancer share.
pub(crate) struct Shared {
    /// Whose containers they are.
    pub(crate) owner: String,
    /// Where the desired states of services are kept, if they are.
    pub(crate) state: Option<StateDir>,
    /// Where it is written down what happens.
    pub(crate) journal: Journal,
    /// Who asks replicas how they are.
    pub(crate) heartbeats: Heartbeats,
}

/// Starts the control of one service. `is_contract` says whether the contract's endpoints are about it.
pub(crate) async fn start_control(
    service: &ServiceSettings,
    is_contract: bool,
    shared: &Shared,
) -> Result<Control, StartError> {
    let reconciler = ReconcilerSettings {
        service: service.name.clone(),
        fleet: FleetSettings {
            // The contract's names are server_1, server_2, …; two services cannot both have them.
            name_prefix: if is_contract { "server".into() } else { service.name.clone() },
            replicas_max: service.max_replicas,
            spares: service.spares,
            start_timeout: service.start_timeout,
            drain_deadline: service.drain_deadline,
            health: service.health.clone(),
            seat_choice: seat_choice(&service.algorithm),
            rollout: service.rollout.clone(),
            is_owned: service.is_owned(),
        },
        heartbeat: HeartbeatSettings {
            path: service.heartbeat.path.clone(),
            protocol: match service.protocol {
                proxy::Protocol::Http1 => control::HeartbeatProtocol::Http1,
                proxy::Protocol::H2c => control::HeartbeatProtocol::H2c,
            },
            every: service.heartbeat.every,
            timeout: service.heartbeat.timeout,
        },
        placement: placement(&service.algorithm),
        weights: service.weights.clone(),
        load_factor: service.load_factor,
        // Fixed addresses are the file's to change, not the desired state's.
        state: shared.state.clone().filter(|_| service.is_owned()).map(|state| Arc::new(state) as _),
        journal: shared.journal.clone(),
    };
    let make_driver = async |events| driver(service, shared, events).await;
    Control::start(reconciler, &shared.heartbeats, make_driver).await
}

/// A service as the data plane sees it.
pub(crate) fn data_plane(
    service: &ServiceSettings,
    is_contract: bool,
    control: &Control,
) -> proxy::ServiceSettings {
    proxy::ServiceSettings {
        name: service.name.clone(),
        host: service.host.clone(),
        path: service.path.clone(),
        key: service.key.clone(),
        key_hash: control.table.load().key_hash(),
        style: if is_contract { ResponseStyle::Contract } else { ResponseStyle::Problem },
        protocol: service.protocol,
        timeouts: service.timeouts.clone(),
        table: control.table.clone(),
        suspicions: control.suspicions.clone(),
    }
}

async fn driver(
    service: &ServiceSettings,
    shared: &Shared,
    events: EventSender,
) -> Result<Arc<dyn Driver>, DriverError> {
    Ok(match (spec(service, &shared.owner, shared.state.as_ref())?, &service.driver) {
        (Some(Spec::Process(settings)), _) => Arc::new(ProcessDriver::new(settings, events)?),
        (Some(Spec::Docker(settings)), _) => Arc::new(DockerDriver::connect(*settings, events).await?),
        (None, DriverChoice::Static { addresses }) => Arc::new(StaticDriver::new(addresses.clone())),
        (None, _) => return Err(DriverError::new("there is nothing to run")),
    })
}

/// What the replicas of a service run, in the words of its driver; nothing if somebody else runs them.
/// `owner` is whose they are, and `state` where is kept what outlives this balancer.
pub(crate) fn spec(
    service: &ServiceSettings,
    owner: &str,
    state: Option<&StateDir>,
) -> Result<Option<Spec>, DriverError> {
    let environment = ReplicaEnvironment {
        service: service.name.clone(),
        server_id: service.server_id,
        extra: service.env.clone(),
    };
    Ok(Some(match &service.driver {
        DriverChoice::Process { command, socket } => {
            let program = std::env::current_exe();
            let program = program.map_err(|error| DriverError::caused("cannot find this program", error))?;
            let program = program.to_string_lossy().into_owned();
            let listen = if *socket { "unix:{socket}" } else { "127.0.0.1:{port}" };
            let demo = || [&program, "replica", "--listen", listen].map(str::to_owned).into();
            Spec::Process(ProcessSettings {
                command: command.clone().unwrap_or_else(demo),
                tether: tether::words(&program).into_iter().chain([std::process::id().to_string()]).collect(),
                environment,
                socket: *socket,
                stop_timeout: service.stop_timeout,
                keep: state.map(|state| KeepSettings {
                    folder: state::processes(state).join(&service.name),
                    keeper: vec![program, "keep".into()],
                    owner: owner.to_owned(),
                    is_for_new: service.on_exit == OnExit::Keep,
                }),
            })
        }
        DriverChoice::Docker { image, command, network, publish, memory, cpus } => {
            Spec::Docker(Box::new(DockerSettings {
                image: image.clone(),
                command: command.clone(),
                port: service.port,
                network: network.clone(),
                publish: *publish,
                owner: owner.to_owned(),
                environment,
                memory: *memory,
                cpus: *cpus,
                stop_timeout: service.stop_timeout,
                stop_signal: service.stop_signal.clone(),
            }))
        }
        DriverChoice::Static { .. } => return Ok(None),
    }))
}

/// Ends what an earlier balancer kept of services that are configured no more, or that run in another
/// way now. Nobody waits for it. Where no service runs in containers, no engine is asked for any.
pub(crate) fn end_orphaned(settings: &Settings, shared: &Shared) {
    let names = |is_meant: &dyn Fn(&DriverChoice) -> bool| -> Vec<String> {
        let meant = settings.services.iter().filter(|service| is_meant(&service.driver));
        meant.map(|service| service.name.clone()).collect()
    };
    let of_processes = names(&|driver| matches!(driver, DriverChoice::Process { .. }));
    let of_containers = names(&|driver| matches!(driver, DriverChoice::Docker { .. }));
    if !of_containers.is_empty() {
        tokio::spawn(end_orphaned_containers(shared.owner.clone(), of_containers));
    }
    for (service, folder) in shared.state.iter().flat_map(state::folders_of_processes) {
        if of_processes.contains(&service) {
            continue;
        }
        let settings = ProcessSettings {
            command: Vec::new(),
            tether: Vec::new(),
            environment: ReplicaEnvironment {
                service: service.clone(),
                server_id: ServerId::default(),
                extra: BTreeMap::new(),
            },
            socket: false,
            stop_timeout: ORPHAN_STOP_TIMEOUT,
            keep: Some(KeepSettings {
                folder,
                keeper: Vec::new(),
                owner: shared.owner.clone(),
                is_for_new: false,
            }),
        };
        tracing::warn!(%service, "has processes from before, but is not configured to; they are ended");
        tokio::spawn(async move {
            if let Err(error) = driver::end_orphaned(settings).await {
                tracing::error!(%service, "its processes from before could not be ended: {}", error.in_full());
            }
        });
    }
}

async fn end_orphaned_containers(owner: String, services: Vec<String>) {
    match driver::end_orphaned_containers(&owner, &services, ORPHAN_STOP_TIMEOUT).await {
        Ok(ended) => {
            for service in ended {
                tracing::warn!(%service, "had containers from before, but is not configured to; they were ended");
            }
        }
        Err(error) => tracing::warn!("cannot look for containers from before: {}", error.in_full()),
    }
}

fn placement(algorithm: &Algorithm) -> Placement {
    match *algorithm {
        Algorithm::Rendezvous => Placement::Rendezvous(Rendezvous::default()),
        Algorithm::Classic { slots, virtual_servers, probe, hash, seat_choice: _ } => {
            Placement::Classic(Classic::new(ClassicSettings { slots, virtual_servers, probe, hash }))
        }
        Algorithm::Ring { layout, ref names } => {
            Placement::Named(Named::new(NamedAlgorithm::Ring(layout), names.clone()))
        }
        Algorithm::Maglev { size, ref names } => {
            Placement::Named(Named::new(NamedAlgorithm::Maglev(size), names.clone()))
        }
    }
}

fn seat_choice(algorithm: &Algorithm) -> SeatChoice {
    match algorithm {
        Algorithm::Classic { seat_choice, .. } => *seat_choice,
        Algorithm::Rendezvous | Algorithm::Ring { .. } | Algorithm::Maglev { .. } => SeatChoice::Lowest,
    }
}

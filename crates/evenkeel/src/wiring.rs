//! From validated settings to running parts: each room gets its own words for what was configured.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use config::{Algorithm, DriverChoice, OnExit, Rights, ServiceSettings, Settings};
use control::{Control, HeartbeatSettings, Heartbeats, Journal, Question, ReconcilerSettings};
use driver::{
    Account, Contents, DockerDriver, DockerSettings, Driver, DriverError, EventSender, Fittings,
    KeepSettings, ListenedBy, PortRange, ProcessDriver, ProcessSettings, ReplicaEnvironment, ServerId, Spec,
    StaticDriver,
};
use fleet::FleetSettings;
use hyper::header::{HeaderName, HeaderValue};
use placement::{Classic, ClassicSettings, Named, NamedAlgorithm, Placement, Rendezvous, SeatChoice};
use proxy::{ResponseStyle, Sticky};

use crate::identity::Identity;
use crate::{descriptors, named, state, tether};

/// How long replicas of a service that is configured no more may take to end; what they were promised
/// is not known any more.
pub(crate) const ORPHAN_STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The pauses between two attempts to look for what is of no service any more.
const ORPHAN_RETRY_FIRST: Duration = Duration::from_secs(1);
const ORPHAN_RETRY_LONGEST: Duration = Duration::from_secs(60);

/// What all services of a balancer share.
pub(crate) struct Shared {
    /// Whose replicas they are.
    pub(crate) identity: Identity,
    /// Names that no replica of any service may have.
    pub(crate) reserved_names: BTreeSet<String>,
    /// Where it is written down what happens.
    pub(crate) journal: Journal,
    /// Who asks replicas how they are.
    pub(crate) heartbeats: Heartbeats,
}

/// Starts the control of one service. `is_contract` says whether the contract's endpoints are about it.
pub(crate) fn start_control(service: &ServiceSettings, is_contract: bool, shared: &Shared) -> Control {
    let reconciler = ReconcilerSettings {
        service: service.name.clone(),
        fleet: FleetSettings {
            // The contract's names are server_1, server_2, …; two services cannot both have them.
            name_prefix: if is_contract { "server".into() } else { service.name.clone() },
            replicas_max: service.max_replicas,
            spares: service.spares,
            start_timeout: service.start_timeout,
            drain_deadline: service.drain_deadline,
            health: fleet::HealthSettings {
                busy_patience: service.timeouts.response,
                ..service.health.clone()
            },
            seat_choice: seat_choice(&service.algorithm),
            rollout: service.rollout.clone(),
            is_owned: service.is_owned(),
        },
        replicas: service.replicas,
        heartbeat: HeartbeatSettings {
            path: service.heartbeat.path.clone(),
            question: question(&service.heartbeat),
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
        requests_per_replica: service.limits.requests_per_replica,
        // Fixed addresses are the file's to change, not the desired state's.
        state: shared.identity.state.clone().filter(|_| service.is_owned()).map(|state| Arc::new(state) as _),
        reserved_names: shared.reserved_names.clone(),
        journal: shared.journal.clone(),
    };
    let (service, identity) = (service.clone(), shared.identity.clone());
    let make_driver = control::driver_maker(move |events| driver(service.clone(), identity.clone(), events));
    Control::start(reconciler, &shared.heartbeats, make_driver)
}

/// How replicas are asked whether they are well.
fn question(heartbeat: &config::Heartbeat) -> Question {
    let usual = Question::default();
    let header = |(name, value): (&String, &String)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(value).ok()?))
    };
    Question {
        method: heartbeat.method.parse().unwrap_or(usual.method),
        host: heartbeat.host.as_ref().and_then(|host| HeaderValue::from_str(host).ok()),
        headers: heartbeat.headers.iter().filter_map(header).collect(),
        port: heartbeat.port,
        statuses: heartbeat.statuses.iter().map(|range| range.first..=range.last).collect(),
    }
}

/// What keeps the sessions of a service where they are. Where there is a state directory, cookies are valid
/// after a restart, too.
pub(crate) fn sticky(service: &ServiceSettings, identity: &Identity) -> Option<Sticky> {
    let cookie = service.sticky.kept_by()?;
    Some(Sticky::new(cookie, &service.name, identity.secret.bytes()))
}

/// A service as the data plane sees it.
pub(crate) fn data_plane(
    service: &ServiceSettings,
    sticky: Option<&Sticky>,
    is_contract: bool,
    control: &Control,
) -> proxy::ServiceSettings {
    proxy::ServiceSettings {
        name: service.name.clone(),
        scope: service.scope.clone(),
        path_form: service.path_form,
        policies: service.policies.clone(),
        key: service.key.clone(),
        key_hash: control.table.load().key_hash(),
        sticky: sticky.cloned(),
        style: if is_contract { ResponseStyle::Contract } else { ResponseStyle::Problem },
        protocol: service.protocol,
        timeouts: service.timeouts.clone(),
        limits: service.limits.clone(),
        retries: service.retries,
        files: match &service.driver {
            DriverChoice::Files { folder } => Some(Arc::new(folder.clone())),
            DriverChoice::Process { .. } | DriverChoice::Docker { .. } | DriverChoice::Static { .. } => None,
        },
        // Read where the service begins.
        error_pages: None,
        table: control.table.clone(),
        suspicions: control.suspicions.clone(),
    }
}

async fn driver(
    service: ServiceSettings,
    identity: Identity,
    events: EventSender,
) -> Result<Arc<dyn Driver>, DriverError> {
    Ok(match (spec(&service, &identity)?, &service.driver) {
        (Some(Spec::Process(settings)), _) => Arc::new(ProcessDriver::new(*settings, events)?),
        (Some(Spec::Docker(settings)), _) => Arc::new(DockerDriver::connect(*settings, events).await?),
        (None, DriverChoice::Static { addresses }) => Arc::new(StaticDriver::new(addresses.clone())),
        // Nobody is to be started or watched.
        (None, DriverChoice::Files { .. }) => Arc::new(StaticDriver::new(Vec::new())),
        (None, _) => return Err(DriverError::new("there is nothing to run")),
    })
}

/// What the replicas of a service run, in the words of its driver; nothing if somebody else runs them.
/// `owner` is whose they are, and `state` where is kept what outlives this balancer.
pub(crate) fn spec(service: &ServiceSettings, identity: &Identity) -> Result<Option<Spec>, DriverError> {
    let environment = ReplicaEnvironment {
        service: service.name.clone(),
        server_id: service.server_id,
        extra: named::environment(service)?,
    };
    Ok(Some(match &service.driver {
        DriverChoice::Process { command, socket, listened_by, rights, directory, ports } => {
            let program = std::env::current_exe();
            let program = program.map_err(|error| DriverError::caused("cannot find this program", error))?;
            let program = program.to_string_lossy().into_owned();
            let listen = if *socket { "unix:{socket}" } else { "127.0.0.1:{port}" };
            let demo = || [&program, "replica", "--listen", listen].map(str::to_owned).into();
            Spec::Process(Box::new(ProcessSettings {
                command: command.clone().unwrap_or_else(demo),
                tether: tether::words(&program, descriptors::limit_before()),
                environment,
                socket: *socket,
                listened_by: *listened_by,
                account: account(rights)?,
                new_privileges: rights.new_privileges,
                inherit: rights.inherit.clone(),
                directory: directory.as_ref().map(PathBuf::from),
                ports: *ports,
                stop_timeout: service.stop_timeout,
                secret: identity.secret.clone(),
                mark: identity.mark(),
                keep: identity.state.as_ref().map(|state| KeepSettings {
                    folder: state::processes(state).join(&service.name),
                    keeper: tether::keeper_words(&program, descriptors::limit_before()),
                    is_for_new: service.on_exit == OnExit::Keep,
                }),
            }))
        }
        DriverChoice::Docker {
            image,
            command,
            network,
            publish,
            memory,
            cpus,
            capabilities,
            new_privileges,
            fittings,
            secrets,
            pull,
        } => Spec::Docker(Box::new({
            let (contents, secrets) = Contents::of(named::secrets(secrets)?, &identity.secret);
            DockerSettings {
                image: image.clone(),
                command: command.clone(),
                port: service.port,
                network: network.clone(),
                publish: *publish,
                owner: identity.owner.clone(),
                records: identity.docker_records()?,
                environment,
                memory: *memory,
                cpus: *cpus,
                capabilities: capabilities.clone(),
                new_privileges: *new_privileges,
                fittings: Fittings { secrets, ..(**fittings).clone() },
                contents,
                pull: *pull,
                stop_timeout: service.stop_timeout,
                stop_signal: service.stop_signal.clone(),
            }
        })),
        DriverChoice::Static { .. } | DriverChoice::Files { .. } => return Ok(None),
    }))
}

fn account(rights: &Rights) -> Result<Option<Account>, DriverError> {
    rights.user.as_ref().map(|user| Account::find(user, rights.group.as_deref())).transpose()
}

/// Says of services whose replicas could read what the balancer has.
pub(crate) fn warn_of_own_account(settings: &Settings) {
    let has_own_account = |service: &&ServiceSettings| match &service.driver {
        // The bundled replica is this program.
        DriverChoice::Process { command, rights, .. } => command.is_some() && rights.user.is_none(),
        DriverChoice::Docker { .. } | DriverChoice::Static { .. } | DriverChoice::Files { .. } => false,
    };
    let names: Vec<&str> =
        settings.services.iter().filter(has_own_account).map(|service| service.name.as_str()).collect();
    if names.is_empty() {
        return;
    }
    let (uid, names) = (rustix::process::geteuid(), names.join(", "));
    tracing::warn!(
        "the processes of {names} run as the balancer's own account (uid {uid}): they can read its keys, state and admin token; \
         user = \"…\" gives them another one, if the balancer is started as root"
    );
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
    let had_containers = shared.identity.state.as_ref().is_some_and(state::has_containers);
    if !of_containers.is_empty() || had_containers {
        tokio::spawn(end_orphaned_containers(shared.identity.clone(), of_containers));
    }
    let kept: Vec<_> = shared.identity.state.iter().flat_map(state::folders_of_processes).collect();
    let known = of_processes.iter().chain(kept.iter().map(|(service, _)| service)).cloned().collect();
    tokio::spawn(driver::end_unknown(shared.identity.mark(), known));
    for (service, folder) in kept {
        if of_processes.contains(&service) {
            continue;
        }
        let settings = kept_processes(&service, folder, &shared.identity, ORPHAN_STOP_TIMEOUT);
        tracing::warn!(%service, "has processes from before, but is not configured to; they are ended");
        tokio::spawn(async move {
            if let Err(error) = driver::end_orphaned(settings).await {
                tracing::error!(%service, "its processes from before could not be ended: {}", error.in_full());
            }
        });
    }
}

/// What it takes to end the processes that were kept of a service, whatever they run.
pub(crate) fn kept_processes(
    service: &str,
    folder: PathBuf,
    identity: &Identity,
    stop_timeout: Duration,
) -> ProcessSettings {
    ProcessSettings {
        command: Vec::new(),
        tether: Vec::new(),
        environment: ReplicaEnvironment {
            service: service.to_owned(),
            server_id: ServerId::default(),
            extra: BTreeMap::new(),
        },
        socket: false,
        listened_by: ListenedBy::Itself,
        account: None,
        new_privileges: false,
        inherit: Vec::new(),
        directory: None,
        ports: PortRange::default(),
        stop_timeout,
        secret: identity.secret.clone(),
        mark: identity.mark(),
        keep: Some(KeepSettings { folder, keeper: Vec::new(), is_for_new: false }),
    }
}

async fn end_orphaned_containers(identity: Identity, services: Vec<String>) {
    let mut pause = ORPHAN_RETRY_FIRST;
    let ended = loop {
        let ended = async {
            let records = identity.docker_records()?;
            driver::end_orphaned_containers(&identity.owner, &services, ORPHAN_STOP_TIMEOUT, &records).await
        };
        match ended.await {
            Ok(ended) => break ended,
            // The engine may come later than we.
            Err(error) if pause == ORPHAN_RETRY_FIRST => {
                tracing::warn!(
                    "cannot look for containers from before, and tries again: {}",
                    error.in_full()
                );
            }
            Err(error) => tracing::debug!("cannot look for containers from before: {}", error.in_full()),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(ORPHAN_RETRY_LONGEST);
    };
    for driver::EndedContainers { service, .. } in ended {
        tracing::warn!(%service, "had containers from before, but is not configured to; they were ended");
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

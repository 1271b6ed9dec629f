//! `evenkeel up`: the life of a balancer, from its configuration to its last request.

use std::path::Path;
use std::time::{Duration, Instant};

use admin::{Admin, AdminListener, Sources};
use config::{DriverChoice, OnExit, ServiceSettings, Settings};
use control::{Control, Handle, Heartbeats, Journal};
use fleet::{Address, Edit};
use tracing_subscriber::EnvFilter;

use crate::cli::UpOptions;
use crate::entrance::{self, Doors, Entrance, Serving};
use crate::signals::EndSignals;
use crate::{
    Outcome, Stopped, deploy, descriptors, explain, failed, in_full, owner, say, settings, state, wiring,
};

/// How long all replicas that were there before are waited for, once some of them take traffic.
const TAKE_UP_PATIENCE: Duration = Duration::from_secs(5);

/// How much longer than draining and stopping the end may take, where the engine is away.
const END_MARGIN: Duration = Duration::from_secs(15);

/// Log lines that wait for a slow reader; more are dropped, so that nobody is held up by a log.
const LOG_LINES_MAX: usize = 8192;

/// Checks a configuration file, and the certificates that it names.
pub(crate) fn validate(path: &Path) -> Outcome {
    let warnings =
        tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr);
    warnings.without_time().with_target(false).with_ansi(false).init();
    let settings = config::read(path).map_err(|error| {
        let plural = if error.count() == 1 { "" } else { "s" };
        let words = format!("{error}\n\n{}: {} problem{plural}", path.display(), error.count());
        Stopped::BadConfiguration(words)
    })?;
    let doors = entrance::load(&settings).map_err(Stopped::BadConfiguration)?;
    let names: Vec<&str> = settings.services.iter().map(|service| service.name.as_str()).collect();
    let addresses: Vec<String> = doors.iter().map(|door| door.address.to_string()).collect();
    say!("{} is fine: {} on {}", path.display(), names.join(", "), addresses.join(", "));
    Ok(())
}

/// Runs a balancer until it is told to end.
pub(crate) fn run(options: &UpOptions) -> Outcome {
    let settings = settings::chosen(options)?;
    let (writer, _flushes_on_drop) = tracing_appender::non_blocking::NonBlockingBuilder::default()
        .buffered_lines_limit(LOG_LINES_MAX)
        .finish(std::io::stderr());
    let filter = EnvFilter::try_from_env("EVENKEEL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    if options.log_json {
        log.json().init();
    } else {
        log.with_ansi(false).init();
    }
    let doors = entrance::load(&settings).map_err(Stopped::BadConfiguration)?;
    let connections_max = descriptors::connections_max(settings.connections_max, descriptors::raise_limit());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let outcome = runtime.block_on(balance(options, &settings, doors, connections_max));
    // After a second signal workers may still be draining; the end does not wait for them.
    runtime.shutdown_background();
    outcome
}

async fn balance(options: &UpOptions, settings: &Settings, doors: Doors, connections_max: usize) -> Outcome {
    let mut signals = EndSignals::listen().map_err(failed)?;
    say!("evenkeel {}", env!("CARGO_PKG_VERSION"));
    // Everything that can be in somebody else's way is claimed before the first replica starts.
    let chosen_lock = settings.owner.as_deref().map(owner::take).transpose().map_err(failed)?;
    let entrance = Entrance::open(settings, doors).map_err(failed)?;
    signals.renew_on_hangup(entrance.renewable(settings));
    let admin = bind_admin(settings).await?;
    let address = entrance.address();
    let owner = settings.owner.clone().unwrap_or_else(|| address.to_string());
    let _lock = chosen_lock.map_or_else(|| owner::take(&owner), Ok).map_err(failed)?;
    let state = state::open(settings, &owner).map_err(|error| failed(in_full(&error)))?;
    let heartbeats = Heartbeats::start().map_err(failed)?;
    let shared = wiring::Shared { owner, state, journal: Journal::default(), heartbeats };
    wiring::end_orphaned(settings, &shared);
    let mut controls = Vec::new();
    for service in &settings.services {
        let control = wiring::start_control(service, settings, &shared).await;
        controls.push(
            control.map_err(|error| failed(format!("service '{}': {}", service.name, in_full(&error))))?,
        );
    }
    say!("  admin on {}", admin.address());
    let handles = controls.iter().map(|control| control.handle.clone()).collect();
    let sources = Sources {
        traffic: entrance.traffic(),
        explainer: explain::explainer(settings, &controls),
        deployer: deploy::deployer(options, settings, &shared),
    };
    tokio::spawn(Admin::new(handles, shared.journal.clone(), sources).serve(admin));

    let begun = Begun { settings, had_replicas: had_replicas(&controls), controls };
    let filled = tokio::select! {
        filled = fill_all(settings, &begun.controls) => filled,
        () = signals.next() => Err("told to end before the replicas were up".into()),
    };
    if let Err(text) = filled {
        return begun.give_up(text, &mut signals).await;
    }
    let serving = match entrance.serve(settings, &begun.controls, connections_max) {
        Ok(serving) => serving,
        Err(error) => {
            return begun.give_up(format!("cannot listen on {address}: {error}"), &mut signals).await;
        }
    };
    signals.next().await;
    end(settings, &begun.controls, serving, &mut signals).await
}

/// A balancer that is not up yet.
struct Begun<'a> {
    settings: &'a Settings,
    controls: Vec<Control>,
    /// By service: whether an earlier balancer left replicas, or the wish for some.
    had_replicas: Vec<bool>,
}

impl Begun<'_> {
    /// Ends what this start began. What an earlier balancer left is not ours to end because this one
    /// cannot begin.
    async fn give_up(self, text: String, signals: &mut EndSignals) -> Outcome {
        let is_ended =
            |index: usize| self.settings.services[index].on_exit == OnExit::Stop || !self.had_replicas[index];
        tokio::select! {
            () = end_replicas(&self.controls, is_ended) => {}
            () = signals.next() => {}
        }
        Err(failed(text))
    }
}

fn had_replicas(controls: &[Control]) -> Vec<bool> {
    controls.iter().map(|control| !control.handle.view().replicas.is_empty()).collect()
}

async fn bind_admin(settings: &Settings) -> Result<AdminListener, Stopped> {
    let (address, shown) = match &settings.admin {
        config::AdminAddress::Tcp(address) => (Address::Tcp(*address), address.to_string()),
        config::AdminAddress::Unix(path) => {
            (Address::Unix(path.as_path().into()), path.display().to_string())
        }
    };
    AdminListener::bind(&address).await.map_err(|error| {
        failed(format!(
            "the admin API cannot listen on {shown}: {error}; choose another address with --admin"
        ))
    })
}

/// Brings every service to the replicas that it should have before the port answers.
async fn fill_all(settings: &Settings, controls: &[Control]) -> Result<(), String> {
    let fills = settings.services.iter().zip(controls).map(|(service, control)| async move {
        let begun = Instant::now();
        let found = control.handle.view().replicas.len();
        let count = if control.is_restored { found } else { found.max(service.replicas as usize) };
        let verb = match (found > 0, service.is_owned()) {
            (true, _) => "taking up",
            (false, true) => "starting",
            (false, false) => "watching",
        };
        say!("  service {}: {verb} {count} {} …", service.name, what(&service.driver, count));
        if control.is_restored && count != service.replicas as usize {
            let asked = service.replicas;
            say!(
                "    (what was asked for before counts, not replicas = {asked}; `evenkeel scale` changes it)"
            );
        }
        if !control.is_restored {
            let fill = Edit::Fill { count: service.replicas };
            control
                .handle
                .edit(fill)
                .await
                .map_err(|error| format!("service '{}': {error}", service.name))?;
        }
        if found > 0 && service.is_owned() {
            take_up(service, &control.handle).await;
        }
        let view = control.handle.view();
        let names: Vec<&str> = view.names().map(|name| name.as_str()).collect();
        say!(
            "  service {}: {} of {} ready after {:.2?}: {}",
            service.name,
            view.ready(),
            names.len(),
            begun.elapsed(),
            names.join(", ")
        );
        Ok(())
    });
    futures_util::future::try_join_all(fills).await.map(|_| ())
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

/// Drains and ends. A second signal ends at once.
async fn end(
    settings: &Settings,
    controls: &[Control],
    serving: Serving,
    signals: &mut EndSignals,
) -> Outcome {
    say!("  ending: no new connections, requests under way may finish (a second signal ends at once)");
    let is_ended = |index: usize| settings.services[index].on_exit == OnExit::Stop;
    let orderly = async {
        // Joining the workers blocks, and this thread has replicas to look after.
        let _ = tokio::task::spawn_blocking(move || serving.end()).await;
        // Those that stay stay; those that were on their way in or out are seen through.
        let stay =
            settings.services.iter().zip(controls).filter(|(service, _)| service.on_exit == OnExit::Keep);
        let quiet = stay.map(|(service, control)| {
            let limit = service.drain_deadline + service.stop_timeout;
            tokio::time::timeout(limit, control.handle.quiet())
        });
        let ended = tokio::time::timeout(end_limit(settings), end_replicas(controls, is_ended));
        futures_util::future::join(ended, futures_util::future::join_all(quiet)).await.0.is_ok()
    };
    let is_complete = tokio::select! {
        is_complete = orderly => is_complete,
        () = signals.next() => return Err(failed("ended at once, by a second signal")),
    };
    if !is_complete {
        return Err(failed("not all replicas could be ended; the log says why"));
    }
    for (service, control) in settings.services.iter().zip(controls) {
        if service.on_exit == OnExit::Keep && service.is_owned() {
            let view = control.handle.view();
            let count = view.replicas.len() + view.spares.len();
            let (name, what) = (&service.name, what(&service.driver, count));
            let (keeps, them) = if count == 1 { ("keeps", "it") } else { ("keep", "them") };
            say!("  service {name}: {count} {what} {keeps} running; the next start takes {them} up");
        }
    }
    say!("  ended");
    Ok(())
}

fn end_limit(settings: &Settings) -> Duration {
    let limits = settings.services.iter().map(|service| service.drain_deadline + service.stop_timeout);
    limits.max().unwrap_or_default() + END_MARGIN
}

async fn end_replicas(controls: &[Control], is_ended: impl Fn(usize) -> bool) {
    let ending = controls.iter().enumerate().filter(|(index, _)| is_ended(*index));
    futures_util::future::join_all(ending.map(|(_, control)| control.handle.retire())).await;
}

/// What the replicas are called in start-up lines.
fn what(driver: &DriverChoice, count: usize) -> &'static str {
    match (driver, count) {
        (DriverChoice::Process { .. }, 1) => "process",
        (DriverChoice::Process { .. }, _) => "processes",
        (DriverChoice::Docker { .. }, 1) => "container",
        (DriverChoice::Docker { .. }, _) => "containers",
        (DriverChoice::Static { .. }, 1) => "address",
        (DriverChoice::Static { .. }, _) => "addresses",
    }
}

//! `evenkeel up`: the life of a balancer, from its configuration to its last request.

use std::path::Path;

use admin::{Admin, AdminListener, Sources};
use config::{OnExit, Settings};
use control::{Entry, Heartbeats, Journal};
use fleet::{Address, in_full};
use tracing_subscriber::EnvFilter;

use crate::cli::UpOptions;
use crate::entrance::{self, Doors, Entrance, Serving};
use crate::services::{self, Begun, END_MARGIN, Services};
use crate::signals::EndSignals;
use crate::{Outcome, Stopped, deploy, descriptors, explain, failed, owner, say, settings, state, wiring};

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
    let mut services = Services::new(shared, settings);
    for service in &settings.services {
        services.begin(service.clone()).await.map_err(failed)?;
    }
    say!("  admin on {}", admin.address());
    let registry = services.registry().clone();
    let sources = Sources {
        explainer: explain::explainer(registry.clone(), settings.clients.head.clone()),
        services: Box::new(move || registry.handles()),
        traffic: entrance.traffic(),
        deployer: deploy::deployer(options, &services),
    };
    tokio::spawn(Admin::new(services.shared().journal.clone(), sources).serve(admin));

    let filled = tokio::select! {
        filled = services.fill() => filled,
        () = signals.next() => Err("told to end before the replicas were up".into()),
    };
    if let Err(text) = filled {
        return give_up(&services, text, &mut signals).await;
    }
    services.open();
    let serving = match entrance.serve(settings, &services, connections_max) {
        Ok(serving) => serving,
        Err(error) => {
            return give_up(&services, format!("cannot listen on {address}: {error}"), &mut signals).await;
        }
    };
    signals.next().await;
    end(&services, serving, &mut signals).await
}

/// Ends what this start began. What an earlier balancer left is not ours to end because this one
/// cannot begin.
async fn give_up(services: &Services, text: String, signals: &mut EndSignals) -> Outcome {
    let is_ended = |begun: &Begun| begun.settings.on_exit == OnExit::Stop || !begun.had_replicas;
    tokio::select! {
        () = services.retire(is_ended) => {}
        () = signals.next() => {}
    }
    Err(failed(text))
}

async fn bind_admin(settings: &Settings) -> Result<AdminListener, Stopped> {
    AdminListener::bind(&settings.admin).await.map_err(|error| {
        let shown = match &settings.admin {
            Address::Tcp(address) => address.to_string(),
            Address::Unix(path) => path.display().to_string(),
        };
        failed(format!(
            "the admin API cannot listen on {shown}: {error}; choose another address with --admin"
        ))
    })
}

/// Drains and ends. A second signal ends at once.
async fn end(services: &Services, serving: Serving, signals: &mut EndSignals) -> Outcome {
    say!("  ending: no new connections, requests under way may finish (a second signal ends at once)");
    let entries = services.registry().entries();
    let stays = |entry: &&Entry<Begun>| entry.attached.settings.on_exit == OnExit::Keep;
    let orderly = async {
        // Joining the workers blocks, and this thread has replicas to look after.
        let _ = tokio::task::spawn_blocking(move || serving.end()).await;
        // Those that stay stay; those that were on their way in or out are seen through.
        let quiet = entries
            .iter()
            .filter(stays)
            .map(|entry| tokio::time::timeout(entry.attached.end_limit(), entry.control.handle.quiet()));
        let limits = entries.iter().map(|entry| entry.attached.end_limit());
        let limit = limits.max().unwrap_or_default() + END_MARGIN;
        let is_ended = |begun: &Begun| begun.settings.on_exit == OnExit::Stop;
        let ended = tokio::time::timeout(limit, services.retire(is_ended));
        futures_util::future::join(ended, futures_util::future::join_all(quiet)).await.0.is_ok()
    };
    let is_complete = tokio::select! {
        is_complete = orderly => is_complete,
        () = signals.next() => return Err(failed("ended at once, by a second signal")),
    };
    if !is_complete {
        return Err(failed("not all replicas could be ended; the log says why"));
    }
    for entry in entries.iter().filter(stays).filter(|entry| entry.attached.settings.is_owned()) {
        let view = entry.control.handle.view();
        let count = view.fleet.replicas.len() + view.fleet.spares.len();
        let (name, what) = (entry.name(), services::what(&entry.attached.settings.driver, count));
        let (keeps, them) = if count == 1 { ("keeps", "it") } else { ("keep", "them") };
        say!("  service {name}: {count} {what} {keeps} running; the next start takes {them} up");
    }
    say!("  ended");
    Ok(())
}

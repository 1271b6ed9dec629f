//! `evenkeel up`: the life of a balancer, from its configuration to its last request.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use admin::{Admin, AdminListener, Sources};
use config::{DriverChoice, OnExit, ServiceSettings, Settings};
use control::{Entry, Heartbeats, Journal};
use driver::DockerDriver;
use fleet::{Address, in_full};

use crate::cli::UpOptions;
use crate::descriptors::Budget;
use crate::entrance::{self, Doors, Entrance, Serving};
use crate::identity::Identity;
use crate::moved::{self, Origin};
use crate::owner::{self, OwnerLock};
use crate::services::{self, Begun, END_MARGIN, Services};
use crate::signals::EndSignals;
use crate::{
    Outcome, Stopped, deploy, descriptors, explain, failed, folders, log, named, orphans, pages, passwords,
    say, settings, state, token, warnings, wiring,
};

/// Checks a configuration file, and the certificates, passwords, variables and secrets that it names.
pub(crate) fn validate(path: &Path) -> Outcome {
    log::begin_warnings();
    let settings = config::read(path).map_err(|error| {
        let plural = if error.count() == 1 { "" } else { "s" };
        let words = format!("{error}\n\n{}: {} problem{plural}", path.display(), error.count());
        Stopped::BadConfiguration(words)
    })?;
    let doors = entrance::load(&settings).map_err(Stopped::BadConfiguration)?;
    passwords::check(&settings).map_err(Stopped::BadConfiguration)?;
    folders::check(&settings).map_err(Stopped::BadConfiguration)?;
    named::check(&settings).map_err(Stopped::BadConfiguration)?;
    pages::check(&settings).map_err(Stopped::BadConfiguration)?;
    warnings::tell(&settings, Some(path));
    let names: Vec<&str> = settings.services.iter().map(|service| service.name.as_str()).collect();
    let addresses: Vec<String> = doors.iter().map(|door| door.address.to_string()).collect();
    say!("{} is fine: {} on {}", path.display(), names.join(", "), addresses.join(", "));
    Ok(())
}

/// Runs a balancer until it is told to end.
pub(crate) fn run(options: &UpOptions) -> Outcome {
    let settings = settings::chosen(options)?;
    let notation = if options.log_json { log::Notation::Json } else { log::Notation::Text };
    let _flushes_on_drop = log::begin(notation);
    let doors = entrance::load(&settings).map_err(Stopped::BadConfiguration)?;
    passwords::check(&settings).map_err(Stopped::BadConfiguration)?;
    folders::check(&settings).map_err(Stopped::BadConfiguration)?;
    pages::check(&settings).map_err(Stopped::BadConfiguration)?;
    warnings::tell(&settings, options.config.as_deref());
    warnings::tell_of_unused_file(options.config.as_deref());
    check_engine(&settings)?;
    let budget = descriptors::divide(&settings, descriptors::raise_limit());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let outcome = runtime.block_on(balance(options, &settings, doors, budget));
    // After a second signal workers may still be draining; the end does not wait for them.
    runtime.shutdown_background();
    outcome
}

/// What cannot heal while we run is no reason to try on: the name of an engine that nobody can be reached by.
fn check_engine(settings: &Settings) -> Outcome {
    let is_in_containers = |service: &ServiceSettings| matches!(service.driver, DriverChoice::Docker { .. });
    if settings.services.iter().any(is_in_containers) {
        DockerDriver::check_host()
            .map_err(|error| Stopped::BadConfiguration(format!("error: {}", error.in_full())))?;
    }
    Ok(())
}

async fn balance(options: &UpOptions, settings: &Settings, doors: Doors, budget: Budget) -> Outcome {
    let mut signals = EndSignals::listen().map_err(failed)?;
    tokio::spawn(orphans::bury());
    say!("evenkeel {}", env!("CARGO_PKG_VERSION"));
    // Everything that can be in somebody else's way is claimed before the first replica starts.
    let chosen_lock = settings.owner.as_deref().map(owner::take).transpose().map_err(failed)?;
    let entrance = Entrance::open(settings, doors).map_err(failed)?;
    signals.renew_on_hangup(entrance.renewable(settings));
    let admin = bind_admin(settings).await?;
    let tokens = token::tokens(settings).map_err(failed)?;
    let address = entrance.address();
    let origin = Origin::of(options, settings);
    let (identity, _lock) = identify(settings, &origin, address, chosen_lock)?;
    let heartbeats = Heartbeats::start().map_err(failed)?;
    let of_services = settings.services.iter().map(|service| service.name.clone());
    let reserved_names = of_services.chain(settings.reserved_names.iter().cloned()).collect();
    let shared = wiring::Shared { identity, reserved_names, journal: Journal::default(), heartbeats };
    wiring::warn_of_own_account(settings);
    wiring::end_orphaned(settings, &shared);
    let mut services = Services::new(shared, settings);
    for service in &settings.services {
        services.begin(service.clone()).map_err(failed)?;
    }
    let token = tokens.file.map(|file| format!(" (token in {})", file.display()));
    say!("  admin on {}{}", admin.address(), token.unwrap_or_default());
    let registry = services.registry().clone();
    let is_ending = Arc::<AtomicBool>::default();
    let sources = Sources {
        explainer: explain::explainer(
            explain::Explained {
                registry: registry.clone(),
                routes: services.routes(),
                listeners: settings.all_listeners(),
                counting: entrance.counting(),
            },
            settings.clients.head.clone(),
        ),
        services: Box::new(move || registry.handles()),
        folders: services.folders(),
        traffic: entrance.traffic(),
        deployer: deploy::deployer(options, settings, &services),
        is_ending: Arc::clone(&is_ending),
    };
    tokio::spawn(Admin::new(services.shared().journal.clone(), sources, tokens.access).serve(admin));

    let begun_at = Instant::now();
    if options.wait
        && let Err(text) = all_up(&services, &mut signals).await
    {
        return give_up(&services, text, &mut signals).await;
    }
    services.open();
    let serving = match entrance.serve(settings, &services, budget) {
        Ok(serving) => serving,
        Err(error) => {
            return give_up(&services, format!("cannot listen on {address}: {error}"), &mut signals).await;
        }
    };
    tokio::select! {
        () = tell_when_up(&services, begun_at) => {}
        () = signals.next() => {}
    }
    is_ending.store(true, Ordering::Relaxed);
    end(&services, serving, &mut signals).await
}

/// Who this balancer is to what it starts, and has started: as chosen, as written down, or as it listens.
fn identify(
    settings: &Settings,
    origin: &Origin,
    address: SocketAddr,
    chosen_lock: Option<OwnerLock>,
) -> Result<(Identity, OwnerLock), Stopped> {
    let address = address.to_string();
    let chosen = settings.owner.clone().or_else(|| state::owner(settings));
    let has_default = chosen.is_none() && settings.state_dir.is_none();
    let moved = has_default.then(|| origin.moved_from(&address)).flatten();
    let (owner, lock) = match moved {
        Some(moved) => moved,
        None => {
            let owner = chosen.unwrap_or(address);
            let lock = chosen_lock.map_or_else(|| owner::take(&owner), Ok).map_err(failed)?;
            (owner, lock)
        }
    };
    let is_new = settings.state_dir.is_none() && !moved::has_been_here(&owner);
    let state = state::open(settings, &owner).map_err(|error| failed(in_full(&error)))?;
    if let Some(state) = &state {
        if has_default {
            origin.note(state.path());
        }
        if is_new {
            moved::tell_of_others(&owner);
        }
    }
    let identity = Identity::new(owner, state).map_err(|error| failed(in_full(&error)))?;
    Ok((identity, lock))
}

/// Waits until every service is whole. The error says why that cannot be.
async fn all_up(services: &Services, signals: &mut EndSignals) -> Result<(), String> {
    tokio::select! {
        came_up = services.come_up() => came_up,
        () = signals.next() => Err("told to end before the replicas were up".into()),
    }
}

/// Says how the services come up, and does nothing more. Who has not come up is tried on without this, and
/// clients of the others are served meanwhile.
async fn tell_when_up(services: &Services, begun_at: Instant) {
    match services.come_up().await {
        Ok(()) => say!("  up after {:.2?}", begun_at.elapsed()),
        Err(text) => {
            say!("  up after {:.2?}, but not whole; see `evenkeel status`", begun_at.elapsed());
            tracing::error!("not whole, and tried on: {text}");
        }
    }
    std::future::pending::<()>().await;
}

/// Ends what this start began. What an earlier balancer left is not ours to end because this one
/// cannot begin.
async fn give_up(services: &Services, text: String, signals: &mut EndSignals) -> Outcome {
    let is_ended = |entry: &Entry<Begun>| {
        entry.attached.settings.on_exit == OnExit::Stop || !services::had_replicas(entry)
    };
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
        let is_ended = |entry: &Entry<Begun>| entry.attached.settings.on_exit == OnExit::Stop;
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

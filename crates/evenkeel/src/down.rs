//! `evenkeel down`: the end for good. A balancer that runs is ended in good order, and then what is left of its
//! replicas, kept or not. What should run stays stored.
//!
//! It is no call of the admin API: what a balancer leaves on purpose, and what one leaves that was killed, is
//! found in one way, by what its owner has written down. And who may signal a balancer may end it.

use std::time::{Duration, Instant};

use config::Settings;
use control::{StateDir, Store, StoreError};
use driver::EndedContainers;
use fleet::in_full;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::cli::DownOptions;
use crate::identity::Identity;
use crate::moved::Origin;
use crate::owner::{self, OwnerLock, Refused};
use crate::services::END_MARGIN;
use crate::wiring::{self, ORPHAN_STOP_TIMEOUT};
use crate::{Outcome, Stopped, failed, log, say, settings, state};

/// How often it is looked whether a balancer has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often it is said that it has not.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// How long a balancer that has ended may hold its state directory.
const LET_GO_WAIT: Duration = Duration::from_secs(5);

/// Ends whatever a configuration, or the demo, has running.
pub(crate) fn run(options: &DownOptions) -> Outcome {
    let start = options.of_the_start();
    let settings = settings::chosen(&start)?;
    log::begin_warnings();
    let owner = owner(&settings, &Origin::of(&start, &settings))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(end(&settings, &owner))
}

/// Whose replicas are meant, as a start with these settings has it.
fn owner(settings: &Settings, origin: &Origin) -> Result<String, Stopped> {
    if let Some(owner) = settings.owner.clone().or_else(|| state::owner(settings)) {
        return Ok(owner);
    }
    let address = settings.all_listeners().first().map(|listener| listener.address);
    let address = address.filter(|address| address.port() != 0).map(|address| address.to_string());
    let owner = match settings.state_dir {
        Some(_) => address,
        None => origin.owner_since(address.as_deref()),
    };
    owner.ok_or_else(|| {
        failed(
            "whose replicas are meant depends on the port that was found at the start; say it with --listen, as `up` told it",
        )
    })
}

async fn end(settings: &Settings, owner: &str) -> Outcome {
    let Succession { lock, had_balancer } = succeed(settings, owner).await?;
    let state = opened(settings, owner).await?;
    let stored_in =
        state.as_ref().filter(|state| state.outlasts_fleets()).map(|state| state.path().to_owned());
    let identity = Identity::new(owner.to_owned(), state).map_err(|error| failed(in_full(&error)))?;
    let had_replicas = end_what_is_left(settings, &identity).await?;
    drop(lock);
    if !had_balancer && !had_replicas {
        say!("nothing of the owner \"{owner}\" runs");
        return Ok(());
    }
    match stored_in {
        Some(path) => say!(
            "ended; what should run is kept in {}, and the next `evenkeel up` goes by it",
            path.display()
        ),
        None => say!("ended; the next `evenkeel up` begins anew"),
    }
    Ok(())
}

/// The place of the balancer, which nobody else can take meanwhile.
struct Succession {
    lock: OwnerLock,
    /// Whether one had it.
    had_balancer: bool,
}

/// Ends the balancer of this owner, if one runs, and takes its place.
async fn succeed(settings: &Settings, owner: &str) -> Result<Succession, Stopped> {
    let limits = settings.services.iter().map(|service| service.drain_deadline + service.stop_timeout);
    // Requests finish first, and replicas after them.
    let limit = limits.max().unwrap_or_default() * 2 + END_MARGIN * 2;
    let begun = Instant::now();
    let (mut told, mut ending) = (begun, None);
    loop {
        let holder = match owner::attempt(owner) {
            Ok(lock) => return Ok(Succession { lock, had_balancer: ending.is_some() }),
            Err(Refused::Failed(why)) => {
                return Err(failed(format!("cannot lock the owner \"{owner}\": {why}")));
            }
            Err(Refused::Held(holder)) => holder,
        };
        match (ending, holder) {
            // One that is about to be gone is not seen by all.
            (Some(_), None) => {}
            (None, None) => return Err(failed(elsewhere(owner))),
            (None, Some(pid)) => {
                if ask_to_end(pid, owner)? {
                    say!(
                        "ending the balancer of the owner \"{owner}\" (process {pid}): requests under way may finish …"
                    );
                    ending = Some(pid);
                }
            }
            (Some(before), Some(pid)) if before != pid => return Err(failed(started_again(pid))),
            (Some(pid), Some(_)) if begun.elapsed() > limit => {
                return Err(failed(format!(
                    "the balancer (process {pid}) has not ended within {limit:?}; a second signal ends it at once (kill {pid}), \
                     and another `evenkeel down` what it leaves"
                )));
            }
            (Some(_), Some(_)) => {}
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            say!("  still ending, after {:.0?}", begun.elapsed());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn elsewhere(owner: &str) -> String {
    format!(
        "the balancer of the owner \"{owner}\" runs where its process cannot be seen from here (in a container?); end it there \
         (`docker stop`, `make down`), and what it leaves with another `evenkeel down` there"
    )
}

fn started_again(pid: i32) -> String {
    format!(
        "the balancer has ended, and somebody has started another one meanwhile (process {pid}); end it where it is started \
         (`systemctl disable --now evenkeel`, or the container's restart policy), and then do this again"
    )
}

/// Asks a balancer to end. False if it is gone already.
fn ask_to_end(holder: i32, owner: &str) -> Result<bool, Stopped> {
    let refused = |error: rustix::io::Errno| {
        let what = match error {
            rustix::io::Errno::PERM => {
                "it belongs to another account; do this as that one, or as root".to_owned()
            }
            error => format!("{}; end it with `kill {holder}`", std::io::Error::from(error)),
        };
        failed(format!("the balancer of the owner \"{owner}\" (process {holder}) cannot be ended: {what}"))
    };
    let Some(pid) = Pid::from_raw(holder) else { return Ok(false) };
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => return Ok(false),
        opened => opened.map_err(refused)?,
    };
    // It is held now; whether it is still the balancer is seen by looking again.
    if owner::attempt(owner).err() != Some(Refused::Held(Some(holder))) {
        return Ok(false);
    }
    match pidfd_send_signal(&process, Signal::TERM) {
        Err(rustix::io::Errno::SRCH) => Ok(false),
        sent => sent.map(|()| true).map_err(refused),
    }
}

/// The state directory, if there is one. The balancer that had it may be gone a moment later than its lock.
async fn opened(settings: &Settings, owner: &str) -> Result<Option<StateDir>, Stopped> {
    let begun = Instant::now();
    loop {
        match state::find(settings, owner) {
            Err(StoreError::InUse { .. }) if begun.elapsed() < LET_GO_WAIT => {}
            found => return found.map_err(|error| failed(in_full(&error))),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Ends the replicas that nobody looks after. Says whether there were any.
async fn end_what_is_left(settings: &Settings, identity: &Identity) -> Result<bool, Stopped> {
    let limits = settings.services.iter().map(|service| service.stop_timeout);
    let stop_timeout = limits.max().unwrap_or_default().max(ORPHAN_STOP_TIMEOUT);
    let mut had_some = false;
    for (service, folder) in identity.state.iter().flat_map(state::folders_of_processes) {
        let kept = wiring::kept_processes(&service, folder, identity, stop_timeout);
        let ended = telling(&service, driver::end_orphaned(kept)).await;
        let count = ended.map_err(|error| failed(format!("service '{service}': {}", error.in_full())))?;
        had_some |= tell(&service, count, "process", "processes");
    }
    let unknown = driver::end_unknown(identity.mark(), Vec::new()).await;
    had_some |=
        unknown.map_err(|count| failed(format!("{count} processes do not end; the log says more")))? > 0;
    if identity.state.as_ref().is_some_and(|state| state::has_containers(state) || state::has_networks(state))
    {
        let records = identity.docker_records().map_err(|error| failed(error.in_full()))?;
        let ending = driver::end_orphaned_containers(&identity.owner, &[], stop_timeout, &records);
        let ended = telling("the containers", ending).await;
        let cannot =
            |error: driver::DriverError| failed(format!("containers may be left: {}", error.in_full()));
        for EndedContainers { service, count } in ended.map_err(cannot)? {
            had_some |= tell(&service, count, "container", "containers");
        }
        let removed = driver::remove_unused_networks(&records).await;
        let cannot =
            |error: driver::DriverError| failed(format!("a network may be left: {}", error.in_full()));
        for name in removed.map_err(cannot)? {
            say!("  network {name}: removed");
        }
    }
    Ok(had_some)
}

/// Says how many were ended, if any were.
fn tell(service: &str, count: usize, one: &str, several: &str) -> bool {
    if count > 0 {
        let what = if count == 1 { one } else { several };
        say!("  service {service}: {count} {what} ended");
    }
    count > 0
}

/// Waits for something, and says now and then that it takes its time.
async fn telling<T>(what: &str, ending: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let mut ending = std::pin::pin!(ending);
    loop {
        match tokio::time::timeout(TELL_EVERY, &mut ending).await {
            Ok(ended) => return ended,
            Err(_) => say!("  still ending {what}, after {:.0?}", begun.elapsed()),
        }
    }
}

//! How a life has ended, as far as the journal tells, in the words of the API.

use std::time::Duration;

use control::{Departure, Handle, Happening, Journal};
use fleet::{Life, ReplicaView};

/// How long the end of an output waits for the news of its replica's end, which comes by another way.
const NEWS_LIMIT: Duration = Duration::from_secs(3);
/// How often it is looked for it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How a life ended, and who has its seat now; nothing if it runs on.
pub(crate) async fn ending(journal: &Journal, handle: &Handle, replica: &ReplicaView) -> Option<String> {
    let told = async {
        loop {
            if let Some(told) = told(journal, handle.service(), replica.life) {
                return told;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let told = tokio::time::timeout(NEWS_LIMIT, told).await.ok();
    let view = handle.view();
    let all = view.fleet.replicas.iter().chain(&view.fleet.spares).chain(&view.fleet.others);
    let is_there = all.clone().any(|one| one.life == replica.life);
    let successor = all.clone().find(|one| one.seat == replica.seat && one.life != replica.life);
    match (told, is_there) {
        (None, true) => None,
        (told, _) => {
            let told = told.unwrap_or_else(|| "has ended".into());
            let successor = successor.map(|one| format!("; seat {} is {}'s now", one.seat, one.name));
            Some(told + &successor.unwrap_or_default())
        }
    }
}

/// The latest that is written down about the end of a life, if anything is.
fn told(journal: &Journal, service: &str, life: Life) -> Option<String> {
    let records = journal.records();
    let is_meant = |record: &&std::sync::Arc<control::Record>| {
        &*record.service == service && record.replica.as_ref().is_some_and(|replica| replica.life == life)
    };
    records.iter().rev().filter(is_meant).find_map(|record| match &record.happening {
        Happening::Ended { exit } => Some(exit.to_string()),
        Happening::Replaced { death } | Happening::Abandoned { death } => Some(death.to_string()),
        Happening::OutOfTable(Departure::Dead(Some(death))) => Some(death.to_string()),
        Happening::OutOfTable(Departure::Dead(None) | Departure::Ill { .. } | Departure::Meant)
        | Happening::Starting
        | Happening::Ready
        | Happening::HalfOpen
        | Happening::SeatTaken
        | Happening::CrashLooping { .. }
        | Happening::Draining
        | Happening::Stopping
        | Happening::Passed
        | Happening::CannotStart { .. }
        | Happening::CanStart
        | Happening::RollingBack { .. }
        | Happening::RolloutGivenUp { .. }
        | Happening::RolloutEnded
        | Happening::Paused { .. }
        | Happening::Resumed { .. }
        | Happening::CannotStore { .. }
        | Happening::CanStoreAgain => None,
    })
}

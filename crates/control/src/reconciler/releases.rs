//! What is said at the start of a service of what it runs: that it is not what the configuration says, or not
//! what was deployed last.

use driver::Driver;
use fleet::Release;

use crate::store::Stored;

/// Says what differs between the configuration and what is run, if what was stored is run; or why it is not. What
/// differs, by its keys.
pub(super) async fn tell(
    service: &str,
    driver: &dyn Driver,
    is_resumed: bool,
    stored: Option<&Stored>,
) -> Vec<String> {
    if is_resumed {
        let keys = driver.differences().await;
        if !keys.is_empty() {
            let all = keys.join(", ");
            tracing::warn!(
                service,
                "the configuration and what runs differ: {all}. What was deployed last is run on, also by whoever is started from \
                 now on; `evenkeel deploy` rolls out what the configuration says, and who does not want that changes it back"
            );
        }
        return keys.iter().map(ToString::to_string).collect();
    }
    let Some(stored) = stored else { return Vec::new() };
    let deployed = stored.desired.release;
    if deployed == Release::default() || deployed == driver.release() {
        return Vec::new();
    }
    let why = if stored.recipes.contains_key(&deployed) {
        "cannot be run as the configuration says now that replicas are run (`driver`, `socket`)"
    } else {
        "is not known any more"
    };
    tracing::warn!(service, "what was deployed last {why}: what the configuration says is run instead");
    Vec::new()
}

/// Says, when a rollout is undone, that the next start will not know.
pub(super) fn tell_that_nothing_is_kept(service: &str) {
    tracing::warn!(
        service,
        "replicas go back to what they ran, but nothing is kept here of what should run (there is no state_dir): a restart of the \
         balancer runs what the configuration says; change it back"
    );
}

/// Says how many run something else than who is started from now on.
pub(super) fn tell_of_outdated(service: &str, count: usize) {
    if count > 0 {
        tracing::warn!(
            service,
            "replicas that run something else than whoever is started from now on: {count}; `evenkeel deploy` brings them up to date"
        );
    }
}

//! From an order to a container that runs.
//!
//! Owns what may stand in the way of a start and what is done about it: an engine that goes in the
//! middle, a name that is taken, a network or an image that is gone. Every step here may be done
//! twice, because after a broken call nobody knows whether it was done.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use fleet::{Address, Event, ReplicaName};

use super::containers::Containers;
use super::create::Alias;
use super::errors::{self, CallError};
use super::fittings::Pull;
use super::found::{self, Sighting};
use super::lives::Container;
use super::names::Standing;
use super::pinned::Pinned;
use super::proof::Shown;
use super::pull::pull;
use super::settings::DockerSettings;
use super::{create, labels, network, seal, strangers};
use crate::abort_on_drop::AbortOnDrop;
use crate::{DriverError, StartOrder};

/// The pause after contact with the engine was lost. It is enough to find out whether it is away;
/// if it is, that is waited for instead.
pub(super) const CONTACT_PAUSE: Duration = Duration::from_millis(100);
/// How often a deed is begun again because contact was lost in the middle of it.
pub(super) const CONTACTS_MAX: usize = 20;

/// How often a name is asked for that the engine says is taken, though nobody is seen to have it:
/// it is just being given to one container, or taken from another.
const NAME_ATTEMPTS_MAX: usize = 20;
const NAME_PAUSE: Duration = Duration::from_millis(100);

/// How long a start waits to learn who else goes by its name.
const NAMES_LIMIT: Duration = Duration::from_millis(500);

/// How often it is looked whether an image that was missing is there.
const IMAGE_LOOK_EVERY: Duration = Duration::from_secs(1);

impl Containers {
    /// Creates and starts, and leaves nothing behind if that fails, as far as the engine allows.
    pub(super) async fn start_persistently(&self, order: &StartOrder) -> Result<Address, DriverError> {
        let mut contacts = 0;
        // One for all attempts: one that was not answered may have made the container.
        let seal = seal::new_number();
        self.proof.ledger().issue(&seal).await;
        loop {
            let presence = self.engine.presence();
            let outcome = match presence.awaited().await {
                Ok(()) => self.start_once(order, &seal).await,
                Err(error) => {
                    let name = self.settings.container_name(&order.name);
                    return Err(error.during(format!("cannot start container '{name}'")));
                }
            };
            contacts += 1;
            match outcome {
                Err(error) if error.is_unreachable() && contacts < CONTACTS_MAX => {
                    tracing::debug!(name = %order.name, "starting again: {}", error.in_full());
                    tokio::time::sleep(CONTACT_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn start_once(&self, order: &StartOrder, seal: &str) -> Result<Address, DriverError> {
        let pinned = self.releases().await?.get(order.release)?;
        let outcome = self.start_pinned(order, seal, &pinned).await;
        outcome.map_err(|error| error.reworded(|text| pinned.settings.environment.hide(text)))
    }

    async fn start_pinned(
        &self,
        order: &StartOrder,
        seal: &str,
        pinned: &Pinned,
    ) -> Result<Address, DriverError> {
        let mut making = Making { order, pinned, seal, alias: Alias::Given };
        let mut id = self.create(&making).await?;
        let mut standing = self.standing(&order.name).await;
        if let Standing::Shared { holder } = &standing {
            let network = &self.settings.network;
            tracing::info!(name = %order.name, "replica of another balancer, '{holder}', is called so on network '{network}': \
                this one has no alias there");
            let freed = self.remove(&id).await;
            freed.map_err(|error| error.during("cannot remove a container that is made anew"))?;
            making.alias = Alias::Withheld;
            id = self.create(&making).await?;
            standing = Standing::Free;
        }
        let called = self.settings.container_name(&order.name);
        let (since, heeds_health) = (Some(SystemTime::now()), pinned.settings.fittings.image_health);
        self.lives.created(order.life, Container { id: id.clone(), called, since, heeds_health });
        let outcome = match standing {
            Standing::Refused(refused) => Err(refused.into()),
            Standing::Free | Standing::Shared { .. } => self.run(order, &id, pinned).await,
        };
        if let Err(error) = &outcome
            && !error.is_unreachable()
        {
            self.lives.failed(order.life);
            if let Err(error) = self.remove(&id).await {
                let error = error.during("cannot remove a container that failed to start").in_full();
                tracing::warn!(name = %order.name, error);
            }
        }
        outcome
    }

    /// How a name stands that a container has just been made for, which is not started yet. Looked at after it is made, so
    /// that of two who make one for the same name at once, one sees the other. Chosen names were looked up before, so
    /// that an engine that does not tell holds up no start.
    async fn standing(&self, name: &ReplicaName) -> Standing {
        match tokio::time::timeout(NAMES_LIMIT, self.known_names()).await {
            Ok(Ok(known)) => known.standing(name),
            Ok(Err(_)) | Err(_) => Standing::Free,
        }
    }

    /// Creates the container of an order, or finds it if it was created already.
    async fn create(&self, making: &Making<'_>) -> Result<String, DriverError> {
        let Making { order, pinned, seal, alias } = *making;
        let bounds_logs = self.bounds_logs.get().copied().unwrap_or(false);
        let mut body = create::body(&pinned.settings, order, alias, bounds_logs);
        body.image = pinned.image(&self.engine).await?;
        if body.image.is_none() {
            self.proof.ledger().withdraw(seal).await;
            self.look_out_for_image(pinned);
            return Err(errors::image_gone(&pinned.settings.image, &pinned.image_id));
        }
        if let Some(labels) = &mut body.labels {
            labels.insert(labels::RELEASE.into(), pinned.release().to_string());
            self.proof.seal(labels, seal);
        }
        let (name, image) = (&self.settings.container_name(&order.name), &pinned.settings.image);
        for _ in 0..NAME_ATTEMPTS_MAX {
            match self.engine.create(name, body.clone()).await {
                Err(error) if error.is_conflict() => match self.holder(order).await? {
                    Holder::ThisLife(id) => {
                        self.proof.ledger().withdraw(seal).await;
                        return Ok(id);
                    }
                    Holder::Nobody => tokio::time::sleep(NAME_PAUSE).await,
                    Holder::Leftover(id) => {
                        tracing::warn!(
                            name,
                            "removing a container that an earlier life left under this name"
                        );
                        let removed = self.remove(&id).await;
                        removed.map_err(|error| error.during(format!("cannot free the name '{name}'")))?;
                    }
                    Holder::Stranger(refusal) => {
                        self.proof.ledger().withdraw(seal).await;
                        return Err(refusal);
                    }
                },
                Err(error) if errors::is_no_image(&error) => {
                    self.proof.ledger().withdraw(seal).await;
                    self.look_out_for_image(pinned);
                    return Err(errors::no_image(image));
                }
                Ok(id) => {
                    self.proof.ledger().bind(seal, &id).await;
                    return Ok(id);
                }
                Err(error) => return Err(error.during(format!("cannot create container '{name}'"))),
            }
        }
        Err(DriverError::new(format!("the engine does not give the name '{name}' to anybody")))
    }

    /// Who holds the name of an order, as far as that is known.
    async fn holder(&self, order: &StartOrder) -> Result<Holder, DriverError> {
        let name = &self.settings.container_name(&order.name);
        let holder = match self.engine.inspect(name).await {
            Ok(holder) => holder,
            Err(error) if error.is_missing() => return Ok(Holder::Nobody),
            Err(error) => return Err(error.during(format!("cannot see who holds the name '{name}'"))),
        };
        let Some(shown) = Shown::in_inspect(&holder) else { return Ok(Holder::Stranger(strange(name))) };
        // An ID may begin like a name; then nobody has the name.
        if shown.name != Some(name.as_str()) {
            return Ok(Holder::Nobody);
        }
        if self.proof.number(shown).is_none() {
            return Ok(Holder::Stranger(refusal(&self.settings, &order.name, shown.labels)));
        }
        // An earlier attempt of this very start made it, and the response did not get through.
        let (id, life) = (shown.id.to_owned(), labels::life(shown.labels));
        Ok(if life == Some(order.life) { Holder::ThisLife(id) } else { Holder::Leftover(id) })
    }

    /// Starts a created container and finds out where it listens.
    async fn run(&self, order: &StartOrder, id: &str, pinned: &Pinned) -> Result<Address, DriverError> {
        let name = self.settings.container_name(&order.name);
        network::join(&self.engine, &pinned.settings, id).await?;
        let mut started = self.engine.start(id).await;
        if started.as_ref().is_err_and(CallError::is_missing) {
            // Whoever tidies up networks takes one that nobody happens to be on.
            network::ensure(&self.engine, &pinned.settings).await?;
            started = self.engine.start(id).await;
        }
        started.map_err(|error| error.during(format!("cannot start container '{name}'")))?;
        self.lives.started(order.life);
        let inspected = self.engine.inspect(id).await;
        let inspected =
            inspected.map_err(|error| error.during(format!("cannot look at container '{name}'")))?;
        match found::sighting_of_inspect(&inspected, &pinned.settings) {
            Sighting::Running { address, .. } => {
                self.witness().watch_process(order.life, id, found::pid(&inspected));
                Ok(address)
            }
            Sighting::Over => {
                let exit = self.witness().exit_of(id, found::exit_of_inspect(&inspected)).await;
                Err(DriverError::new(format!("container '{name}' ended at once: it {exit}")))
            }
            Sighting::NowhereToReach => {
                let network = &self.settings.network;
                Err(DriverError::new(format!("container '{name}' has no address on network '{network}'")))
            }
        }
    }

    /// Reports when the image is there again, and fetches it if that is wanted: what its name means by then may be
    /// another one, which is not run instead. Once is enough, however many starts want it.
    fn look_out_for_image(&self, pinned: &Pinned) {
        let mut lookout = self.lookout.lock().unwrap_or_else(PoisonError::into_inner);
        if lookout.as_ref().is_some_and(|lookout| !lookout.0.is_finished()) {
            return;
        }
        let (engine, events) = (self.engine.clone(), self.events.clone());
        let (image, name) = (pinned.image_id.clone(), pinned.settings.image.clone());
        let is_pulled = pinned.settings.pull != Pull::Never;
        *lookout = Some(AbortOnDrop(tokio::spawn(async move {
            if is_pulled && let Err(error) = pull(&engine, &name).await {
                tracing::warn!("{}", error.in_full());
            }
            while engine.find_image(&image).await.is_err() {
                tokio::time::sleep(IMAGE_LOOK_EVERY).await;
            }
            tracing::info!(image, "the image is there again");
            // Nobody listens any more when the balancer ends; then there is nobody to tell.
            events.send(Event::Recovered).await.unwrap_or_default();
        })));
    }
}

/// A container that is to be made.
#[derive(Clone, Copy)]
struct Making<'a> {
    order: &'a StartOrder,
    pinned: &'a Pinned,
    seal: &'a str,
    alias: Alias,
}

/// Who holds a name that we want.
enum Holder {
    /// The container of the life that is to get it.
    ThisLife(String),
    /// What an earlier life of this service left.
    Leftover(String),
    /// Nobody, as far as can be seen.
    Nobody,
    /// Somebody else, for this refusal.
    Stranger(DriverError),
}

fn strange(name: &str) -> DriverError {
    DriverError::new(format!("the name '{name}' is taken by a container that is not ours"))
}

/// Why a name cannot be had from a container that we have not started for this service. What it says of
/// itself is good for a hint, and for no more.
fn refusal(
    settings: &DockerSettings,
    replica: &ReplicaName,
    labels: &HashMap<String, String>,
) -> DriverError {
    let name = &settings.container_name(replica);
    if labels.get(labels::OWNER) != Some(&settings.owner) {
        return strange(name);
    }
    let is_word = |text: &&String| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    match labels.get(labels::SERVICE).filter(is_word) {
        // Two services of one balancer may choose the same name; neither may end the other's replica.
        Some(service) if *service != settings.environment.service => {
            DriverError::new(format!("the name '{replica}' is taken by a replica of service '{service}'"))
        }
        _ => DriverError::new(format!("the name '{name}' is taken: {}", strangers::told(&[name]))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{order, settings};
    use super::*;

    #[test]
    fn whoever_has_a_name_that_is_not_to_be_had_is_told() {
        let ours = labels::of(&settings(), &order());
        let mut of_other_service = ours.clone();
        of_other_service.insert(labels::SERVICE.into(), "api".into());
        let mut of_other_owner = ours.clone();
        of_other_owner.insert(labels::OWNER.into(), "somebody".into());
        for (labels, reason) in [
            (of_other_service, "the name 'web_1' is taken by a replica of service 'api'"),
            (of_other_owner, "the name 'me_web_1' is taken by a container that is not ours"),
            (HashMap::new(), "the name 'me_web_1' is taken by a container that is not ours"),
            (ours, "the name 'me_web_1' is taken: containers carry our labels, but it cannot be proved"),
        ] {
            let refusal = refusal(&settings(), &order().name, &labels).to_string();
            assert!(refusal.starts_with(reason), "{refusal}");
        }
    }
}

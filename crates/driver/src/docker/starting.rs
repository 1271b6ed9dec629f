//! From an order to a container that runs.
//!
//! Owns what may stand in the way of a start and what is done about it: an engine that goes in the
//! middle, a name that is taken, a network or an image that is gone. Every step here may be done
//! twice, because after a broken call nobody knows whether it was done.

use std::sync::PoisonError;
use std::time::Duration;

use fleet::{Address, Event};

use super::containers::Containers;
use super::errors::{self, CallError};
use super::found::{self, Sighting};
use super::lives::AbortOnDrop;
use super::pinned::Pinned;
use super::{create, labels, network};
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

/// How often it is looked whether an image that was missing is there.
const IMAGE_LOOK_EVERY: Duration = Duration::from_secs(1);

impl Containers {
    /// Creates and starts, and leaves nothing behind if that fails, as far as the engine allows.
    pub(super) async fn start_persistently(&self, order: &StartOrder) -> Result<Address, DriverError> {
        let mut contacts = 0;
        loop {
            let presence = self.engine.presence();
            let outcome = match presence.awaited().await {
                Ok(()) => self.start_once(order).await,
                Err(error) => {
                    return Err(error.during(format!("cannot start container '{}'", order.name)));
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

    async fn start_once(&self, order: &StartOrder) -> Result<Address, DriverError> {
        let pinned = self.releases().await?.get(order.release)?;
        let id = self.create(order, &pinned).await?;
        self.lives.created(order.life, &id);
        let outcome = self.run(order, &id, &pinned).await;
        if let Err(error) = &outcome
            && !error.is_unreachable()
        {
            self.lives.failed(order.life);
            if let Err(error) = self.engine.remove(&id).await {
                let error = error.during("cannot remove a container that failed to start").in_full();
                tracing::warn!(name = %order.name, error);
            }
        }
        outcome
    }

    /// Creates the container of an order, or finds it if it was created already.
    async fn create(&self, order: &StartOrder, pinned: &Pinned) -> Result<String, DriverError> {
        let bounds_logs = self.bounds_logs.get().copied().unwrap_or(false);
        let mut body = create::body(&pinned.settings, order, bounds_logs);
        body.image = Some(pinned.image(&self.engine).await);
        if let Some(labels) = &mut body.labels {
            labels.insert(labels::RELEASE.into(), pinned.release().to_string());
        }
        let (name, image) = (order.name.as_str(), &pinned.settings.image);
        for _ in 0..NAME_ATTEMPTS_MAX {
            match self.engine.create(name, body.clone()).await {
                Err(error) if error.is_conflict() => match self.holder(order).await? {
                    Holder::ThisLife(id) => return Ok(id),
                    Holder::Nobody => tokio::time::sleep(NAME_PAUSE).await,
                    Holder::Leftover(id) => {
                        tracing::warn!(
                            name,
                            "removing a container that an earlier life left under this name"
                        );
                        let removed = self.engine.remove(&id).await;
                        removed.map_err(|error| error.during(format!("cannot free the name '{name}'")))?;
                    }
                },
                Err(error) if errors::is_no_image(&error) => {
                    self.look_out_for_image(image.clone());
                    return Err(errors::no_image(image));
                }
                outcome => {
                    return outcome
                        .map_err(|error| error.during(format!("cannot create container '{name}'")));
                }
            }
        }
        Err(DriverError::new(format!("the engine does not give the name '{name}' to anybody")))
    }

    /// Who holds the name of an order, if that is one of ours; a stranger is an error.
    async fn holder(&self, order: &StartOrder) -> Result<Holder, DriverError> {
        let name = order.name.as_str();
        let holder = match self.engine.inspect(name).await {
            Ok(holder) => holder,
            Err(error) if error.is_missing() => return Ok(Holder::Nobody),
            Err(error) => return Err(error.during(format!("cannot see who holds the name '{name}'"))),
        };
        let labels = holder.config.and_then(|config| config.labels).unwrap_or_default();
        labels::claim_name(&self.settings, name, &labels)?;
        let id = holder.id.unwrap_or_else(|| name.to_string());
        // An earlier attempt of this very start made it, and the response did not get through.
        let is_this_life = labels::life(&labels) == Some(order.life);
        Ok(if is_this_life { Holder::ThisLife(id) } else { Holder::Leftover(id) })
    }

    /// Starts a created container and finds out where it listens.
    async fn run(&self, order: &StartOrder, id: &str, pinned: &Pinned) -> Result<Address, DriverError> {
        let name = &order.name;
        let mut started = self.engine.start(id).await;
        if started.as_ref().is_err_and(CallError::is_missing) {
            // Whoever tidies up networks takes one that nobody happens to be on.
            network::ensure(&self.engine, &self.settings).await?;
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

    /// Reports when the image is there again. Once is enough, however many starts want it.
    fn look_out_for_image(&self, image: String) {
        let mut lookout = self.lookout.lock().unwrap_or_else(PoisonError::into_inner);
        if lookout.as_ref().is_some_and(|lookout| !lookout.0.is_finished()) {
            return;
        }
        let (engine, events) = (self.engine.clone(), self.events.clone());
        *lookout = Some(AbortOnDrop(tokio::spawn(async move {
            while engine.find_image(&image).await.is_err() {
                tokio::time::sleep(IMAGE_LOOK_EVERY).await;
            }
            tracing::info!(image, "the image is there again");
            // Nobody listens any more when the balancer ends; then there is nobody to tell.
            events.send(Event::Recovered).await.unwrap_or_default();
        })));
    }
}

/// Who holds a name that we want.
enum Holder {
    /// The container of the life that is to get it.
    ThisLife(String),
    /// What an earlier life of this service left.
    Leftover(String),
    /// Nobody, as far as can be seen.
    Nobody,
}

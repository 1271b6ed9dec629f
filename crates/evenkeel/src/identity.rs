//! Who a balancer is to the replicas that it starts: whose they are, where they are written down, and the
//! secret by which they are known again.

use std::io;
use std::path::Path;

use control::StateDir;
use driver::{DockerRecords, DriverError, LifeMark};
use files::{NotOurs, Secret};

/// The file with the secret, in a state directory.
const SECRET: &str = "secret";

/// The file in the run folder by whose key processes are known again.
const LIFE_KEY: &str = "lives.key";

/// The folder in a state directory in which containers and networks are written down.
pub(crate) const DOCKER: &str = "docker";

/// What all services of a balancer have in common as owners.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// Whose replicas they are.
    pub(crate) owner: String,
    /// Where the desired states of services are kept, if they are.
    pub(crate) state: Option<StateDir>,
    /// The same at the next start, if there is a state directory.
    pub(crate) secret: Secret,
    /// The same for every balancer of this account until the machine is started anew, as are its processes.
    life_key: Secret,
}

impl Identity {
    /// Takes the secret of the state directory, which is made if there is none. Without a directory, all that
    /// is known ends with this process, and so does its secret.
    pub(crate) fn new(owner: String, state: Option<StateDir>) -> Result<Self, NotOurs> {
        let unusable = |source: io::Error| NotOurs::Unusable { path: "/dev/urandom".into(), source };
        let secret = match &state {
            Some(state) => files::read_or_create_secret(&state.path().join(SECRET))?,
            None => Secret::random().map_err(unusable)?,
        };
        let life_key = life_key().unwrap_or_else(|| secret.clone());
        Ok(Self { owner, state, secret, life_key })
    }

    /// By what processes are known again.
    pub(crate) fn mark(&self) -> LifeMark {
        LifeMark { owner: self.owner.clone(), key: self.life_key.clone() }
    }

    /// Where containers are written down. They outlive every process, so there must be such a place.
    pub(crate) fn docker_records(&self) -> Result<DockerRecords, DriverError> {
        let folder = self.state.as_ref().map(StateDir::path).map(|path: &Path| path.join(DOCKER));
        let nowhere =
            || DriverError::new("containers cannot be written down, because there is no state directory");
        Ok(DockerRecords { folder: folder.ok_or_else(nowhere)?, secret: self.secret.clone() })
    }
}

/// It is not in the state directory: processes are there without one, and when it is lost.
fn life_key() -> Option<Secret> {
    let folder = files::run_folder().ok()?;
    let made = files::ensure_own_folder(&folder);
    match made.and_then(|()| files::read_or_create_secret(&folder.join(LIFE_KEY))) {
        Ok(key) => Some(key),
        Err(error) => {
            tracing::warn!(
                "processes that outlive this balancer may not be known to the next one: {}",
                fleet::in_full(&error)
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_of_a_state_directory_stays_and_any_other_goes_with_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let open = || StateDir::open(folder.path(), true).unwrap();
        let secret = |state| Identity::new("me".into(), state).unwrap().secret;
        assert_eq!(secret(Some(open())), secret(Some(open())));
        assert_ne!(secret(None), secret(None));
        assert!(Identity::new("me".into(), None).unwrap().docker_records().is_err());
    }
}

//! The recipe of a release: what makes it what it is, as it is stored, so that a later balancer can run it again
//! whatever the configuration says by then.
//!
//! What is the balancer's own, and what only a restart can change, is not in it. Its variables and words may be
//! secrets, so nothing shows them but what writes them into the store.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::docker::DockerRecipe;
use crate::process::ProcessRecipe;

/// What makes a release what it is, in the words of its driver.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Recipe {
    /// Child processes.
    Process(Box<ProcessRecipe>),
    /// Containers.
    Docker(Box<DockerRecipe>),
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Process(_) => "Process(…)",
            Self::Docker(_) => "Docker(…)",
        })
    }
}

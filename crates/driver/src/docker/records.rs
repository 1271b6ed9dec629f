//! Where a balancer writes down what it makes on an engine.

use std::path::PathBuf;

use files::Secret;

/// Where a balancer writes down what it makes on an engine, and the secret by which it knows that again.
#[derive(Clone, Debug)]
pub struct DockerRecords {
    /// A folder that no other balancer uses. It need not exist.
    pub folder: PathBuf,
    /// Known to this balancer alone, and the same at its next start.
    pub secret: Secret,
}

impl DockerRecords {
    /// Where a folder is for each service, with a file for each of its containers.
    pub(super) fn containers(&self) -> PathBuf {
        self.folder.join("containers")
    }

    /// Where a folder is for each service, with a file for each of its secrets.
    pub(super) fn secrets(&self) -> PathBuf {
        self.folder.join("secrets")
    }

    /// Where a file is for each network.
    pub(super) fn networks(&self) -> PathBuf {
        self.folder.join("networks")
    }
}

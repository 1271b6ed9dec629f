//! Names that no replica may have, because they mean something else where replicas are called by their names.

use std::collections::BTreeSet;

use crate::ReplicaName;

/// Names of machines that are there everywhere: the own one, and that of the host around containers.
const EVERYWHERE: [&str; 7] = [
    "localhost",
    "localhost.localdomain",
    "ip6-localhost",
    "ip6-loopback",
    "host.docker.internal",
    "gateway.docker.internal",
    "kubernetes.docker.internal",
];

/// The names that are not to be given. As names of machines they are the same in capitals and in small
/// letters.
#[derive(Clone, Debug)]
pub(crate) struct ReservedNames(BTreeSet<String>);

impl Default for ReservedNames {
    fn default() -> Self {
        Self(EVERYWHERE.map(str::to_owned).into())
    }
}

impl ReservedNames {
    pub(crate) fn extend(&mut self, names: impl IntoIterator<Item = String>) {
        self.0.extend(names.into_iter().map(|name| name.to_ascii_lowercase()));
    }

    pub(crate) fn has(&self, name: &ReplicaName) -> bool {
        self.0.contains(&name.as_str().to_ascii_lowercase())
    }
}

//! The variables that tell a replica where to listen and which it is, the same under every driver.

use std::collections::BTreeMap;

use crate::order::{Endpoint, StartOrder};

/// What `SERVER_ID` tells a replica; both are in use among existing clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerId {
    /// Its name, `server_1`.
    #[default]
    Name,
    /// The bare number of its seat, `1`.
    Number,
}

/// What the replicas of a service have in common in their environment.
#[derive(Clone, Debug)]
pub struct ReplicaEnvironment {
    /// The service's name.
    pub service: String,
    /// What `SERVER_ID` says.
    pub server_id: ServerId,
    /// The operator's own variables. Ours win where both name one.
    pub extra: BTreeMap<String, String>,
}

impl ReplicaEnvironment {
    /// All of it in words, in one order, and each list with its length before it.
    pub(crate) fn parts(&self) -> Vec<String> {
        let mut parts =
            vec![self.service.clone(), format!("{:?}", self.server_id), self.extra.len().to_string()];
        parts.extend(self.extra.iter().flat_map(|(name, value)| [name.clone(), value.clone()]));
        parts
    }

    /// The variables of one replica.
    pub(crate) fn of(&self, order: &StartOrder, endpoint: &Endpoint) -> BTreeMap<String, String> {
        let seat = order.life.seat.to_string();
        let server_id = match self.server_id {
            ServerId::Name => order.name.to_string(),
            ServerId::Number => seat.clone(),
        };
        let mut variables = self.extra.clone();
        variables.extend([endpoint.variable()]);
        variables.insert("SERVER_ID".into(), server_id);
        variables.insert("EVENKEEL_SERVICE".into(), self.service.clone());
        variables.insert("EVENKEEL_SEAT".into(), seat);
        variables
    }
}

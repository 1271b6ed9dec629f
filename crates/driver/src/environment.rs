//! What a replica learns from its environment, the same under every driver.

use std::collections::BTreeMap;

use crate::StartOrder;

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
    /// The variables of one replica.
    pub(crate) fn of(&self, order: &StartOrder, port: u16) -> BTreeMap<String, String> {
        let seat = order.life.seat.to_string();
        let server_id = match self.server_id {
            ServerId::Name => order.name.to_string(),
            ServerId::Number => seat.clone(),
        };
        let mut variables = self.extra.clone();
        variables.insert("SERVER_ID".into(), server_id);
        variables.insert("PORT".into(), port.to_string());
        variables.insert("EVENKEEL_SERVICE".into(), self.service.clone());
        variables.insert("EVENKEEL_SEAT".into(), seat);
        variables
    }
}

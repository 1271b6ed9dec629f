//! The variables that tell a replica where to listen and which it is, the same under every driver.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::order::{Endpoint, StartOrder};

/// What `SERVER_ID` tells a replica; both are in use among existing clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerId {
    /// Its name, `server_1`.
    #[default]
    Name,
    /// The bare number of its seat, `1`.
    Number,
}

/// Shorter values than this are in every other text, and no secrets.
const HIDDEN_BYTES_MIN: usize = 4;

/// What the replicas of a service have in common in their environment. Its values may be secrets: they are
/// shown to nobody but the replicas.
#[derive(Clone)]
pub struct ReplicaEnvironment {
    /// The service's name.
    pub service: String,
    /// What `SERVER_ID` says.
    pub server_id: ServerId,
    /// The operator's own variables. Ours win where both name one.
    pub extra: BTreeMap<String, String>,
}

impl fmt::Debug for ReplicaEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, server_id, extra } = self;
        let names: Vec<&String> = extra.keys().collect();
        let mut shown = f.debug_struct("ReplicaEnvironment");
        shown.field("service", service).field("server_id", server_id).field("extra", &names).finish()
    }
}

impl ReplicaEnvironment {
    /// A text of somebody else with every value in it replaced: an engine may repeat what it was asked for.
    pub(crate) fn hide(&self, text: &str) -> String {
        let values = self.extra.iter().filter(|(_, value)| value.len() >= HIDDEN_BYTES_MIN);
        values.fold(text.to_owned(), |text, (name, value)| {
            let as_json = serde_json::Value::from(value.as_str()).to_string();
            let as_json = as_json.trim_matches('"');
            text.replace(value, &format!("<{name}>")).replace(as_json, &format!("<{name}>"))
        })
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_to_nobody() {
        let extra = [("TOKEN", "s3cr\"et"), ("LEVEL", "on"), ("EMPTY", "")];
        let extra = extra.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let environment = ReplicaEnvironment { service: "web".into(), server_id: ServerId::Name, extra };
        let shown = format!("{environment:?}");
        assert!(shown.contains("TOKEN") && !shown.contains("s3cr"), "{shown}");
        let said = "cannot start with TOKEN=s3cr\"et in {\"Env\":[\"TOKEN=s3cr\\\"et\"]} on this host";
        let expected = "cannot start with TOKEN=<TOKEN> in {\"Env\":[\"TOKEN=<TOKEN>\"]} on this host";
        assert_eq!(environment.hide(said), expected);
    }
}

//! A service that answers with files: the keys that are about replicas, which it does not have.

use super::Checker;
use crate::found::Found;
use crate::problem::Wrong;

/// Keys and tables that are about replicas, or about how requests get to them.
const OF_REPLICAS: [&str; 19] = [
    "replicas",
    "max_replicas",
    "port",
    "key",
    "sticky",
    "sticky_lifetime",
    "sticky_same_site",
    "algorithm",
    "weights",
    "load_factor",
    "start_timeout",
    "protocol",
    "retries",
    "via",
    "heartbeat",
    "responses",
    "deploy",
    "request_headers",
    "replace_errors",
];

impl Checker<'_, '_> {
    /// Notes what would have no effect: whoever has written it believes that it has one.
    pub(super) fn refuse_keys_of_replicas(&mut self, table: &Found) {
        for key in OF_REPLICAS {
            if let Some(at) = table.key_at(key) {
                let wrong = Wrong::new(format!("`{key}` is about replicas, and driver = \"files\" has none"));
                self.note(at, wrong.help(format!("remove `{key}`")));
            }
        }
    }
}

//! The Docker engine, as far as a drill needs it: whose container a replica is, and what can be done
//! to it.

use std::path::PathBuf;
use std::time::Duration;

use fleet::{Address, Life};
use serde_json::Value;

use crate::http::{self, Call, Reply};

const SOCKET_DEFAULT: &str = "/var/run/docker.sock";
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// A container that is a replica.
#[derive(Clone, Debug)]
pub(super) struct Container {
    engine: Address,
    /// Which no other container ever has.
    pub(super) id: String,
    /// Its first process, as this host numbers it.
    pub(super) pid: i32,
}

/// The container of this very life of this service that has this address, whatever it is called. Nothing if there is none,
/// or no engine.
pub(super) fn container(service: &str, name: &str, life: Life, address: &str) -> Option<Container> {
    let engine = Address::unix(&socket()?).ok()?;
    let (seat, incarnation) = (life.seat, life.incarnation);
    let labels = [
        ("service", service),
        ("name", name),
        ("seat", &seat.to_string()),
        ("incarnation", &incarnation.to_string()),
    ];
    let filters =
        serde_json::json!({ "label": labels.map(|(label, value)| format!("evenkeel.{label}={value}")) });
    let path = format!("/containers/json?filters={}", escaped(&filters.to_string()));
    // Several balancers of a host may each have a replica of this name in the first life of a seat.
    let ids = get(&engine, &path)?;
    ids.as_array()?.iter().find_map(|listed| {
        let found = get(&engine, &format!("/containers/{}/json", listed["Id"].as_str()?))?;
        let pid = found["State"]["Pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())?;
        let id = found["Id"].as_str().filter(|_| has_address(&found, address))?.to_owned();
        Some(Container { engine: engine.clone(), id, pid })
    })
}

fn get(engine: &Address, path: &str) -> Option<Value> {
    let reply = http::get(engine, path, CALL_LIMIT).ok()?;
    serde_json::from_slice(&reply.body).ok().filter(|_| reply.status == 200)
}

/// As it may stand in the query of a path.
fn escaped(text: &str) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    text.bytes()
        .map(|byte| if is_plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn socket() -> Option<PathBuf> {
    match std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()) {
        None => Some(SOCKET_DEFAULT.into()),
        Some(host) => host.strip_prefix("unix://").map(PathBuf::from),
    }
}

/// Two balancers on one host may both have a `server_1`; only one of them has it at this address.
fn has_address(container: &Value, address: &str) -> bool {
    let Some((ip, port)) = address.rsplit_once(':') else { return false };
    let settings = &container["NetworkSettings"];
    let networks = settings["Networks"].as_object().into_iter().flatten();
    let is_its_own = networks.map(|(_, network)| &network["IPAddress"]).any(|found| found == ip);
    let bindings = settings["Ports"].as_object().into_iter().flatten();
    let mut published = bindings.filter_map(|(_, bindings)| bindings.as_array()).flatten();
    is_its_own || published.any(|binding| binding["HostIp"] == ip && binding["HostPort"] == port)
}

impl Container {
    /// `kill` or `pause`.
    pub(super) fn perform(&self, deed: &str) -> Result<(), String> {
        let reply = self.post(deed)?;
        match reply.status {
            204 => Ok(()),
            _ => Err(format!("the Docker engine does not {deed} it: {}", reply.text().trim())),
        }
    }

    /// Unpauses it. That it is gone, has ended, or was never paused, is no failure.
    pub(super) fn go_on(&self) -> Result<(), String> {
        let reply = self.post("unpause")?;
        match reply.status {
            204 | 304 | 404 | 409 => Ok(()),
            // The engine has no status for these, only words.
            _ if ENDS_OF_A_PAUSE.iter().any(|words| reply.text().contains(words)) => Ok(()),
            _ => Err(format!("the Docker engine does not unpause it: {}", reply.text().trim())),
        }
    }

    fn post(&self, deed: &str) -> Result<Reply, String> {
        let path = format!("/containers/{}/{deed}", self.id);
        let call = Call { method: "POST", path: &path, body: "" };
        http::call(&self.engine, &call, CALL_LIMIT).map_err(|error| error.to_string())
    }

    /// Whether its processes can be seen and signalled from here.
    pub(super) fn is_visible(&self) -> bool {
        let cgroup = std::fs::read_to_string(format!("/proc/{}/cgroup", self.pid));
        cgroup.is_ok_and(|cgroup| cgroup.contains(&self.id))
    }
}

/// What the engine says of a container that has nothing left to unpause.
const ENDS_OF_A_PAUSE: [&str; 3] = ["not paused", "stopped container", "not running"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_its_own_address_and_what_it_publishes_and_no_other() {
        let container = serde_json::json!({"NetworkSettings": {
            "Networks": {"shop": {"IPAddress": "172.18.0.3"}},
            "Ports": {"5000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}], "6000/tcp": null}
        }});
        assert!(has_address(&container, "172.18.0.3:5000"));
        assert!(has_address(&container, "127.0.0.1:32768"));
        for other in ["172.18.0.30:5000", "127.0.0.1:3276", "127.0.0.1:5000", "unix:/run/a.sock", ""] {
            assert!(!has_address(&container, other), "{other}");
        }
    }
}

//! What works and is still not as it should be: limits that contradict each other, doors that are open to more
//! than this machine, and files that others on it can read or write. Said at the start and by `evenkeel validate`.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use config::{ContractSource, ServiceSettings, Settings};
use fleet::Address;

use crate::{contradictions, passwords, spellings};

/// Others may read or write; the group may write.
const OPEN_KEY: u32 = 0o027;
/// Everybody may read, or others may write.
const OPEN_CONFIGURATION: u32 = 0o026;
/// Others than the owner may write.
const OPEN_FOLDER: u32 = 0o022;

/// Says all that there is to say of these settings, which come from this file.
pub(crate) fn tell(settings: &Settings, file: Option<&Path>) {
    let mut warnings = contradictions::all(settings);
    warnings.extend(sessions(settings));
    warnings.extend(doors(settings));
    warnings.extend(passwords::warnings(settings));
    warnings.extend(spellings::warnings(settings));
    warnings.extend(files(settings, file));
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
}

/// What the file is called that lies beside whoever has one.
const USUAL_FILE: &str = "evenkeel.toml";

/// Says that a configuration lies here and is not used: nothing is taken from a folder only because somebody
/// stands in it.
pub(crate) fn tell_of_unused_file(file: Option<&Path>) {
    if file.is_none() && Path::new(USUAL_FILE).is_file() {
        tracing::warn!(
            "the demo starts; {USUAL_FILE} in this folder is not used, which `evenkeel up --config {USUAL_FILE}` would do"
        );
    }
}

/// Sessions that may be lost though nothing is lost of their replicas.
fn sessions(settings: &Settings) -> Vec<String> {
    let sticky = || {
        let services = settings.services.iter();
        services.filter_map(|service| Some((service, service.sticky.cookie.as_deref()?)))
    };
    let mut warnings = Vec::new();
    // The replicas of others than these end with the balancer, or there is a state directory.
    let is_stationary = |service: &ServiceSettings| !service.is_owned() && settings.state_dir.is_none();
    for (service, _) in sticky().filter(|(service, _)| is_stationary(service)) {
        warnings.push(format!(
            "service '{}' is sticky, and there is no state_dir to keep the secret of its cookies: after a restart all \
             sessions begin anew",
            service.name
        ));
    }
    for (at, (service, cookie)) in sticky().enumerate() {
        let others = sticky().take(at).filter(|(_, other)| *other == cookie);
        let has_same_host =
            |other: &ServiceSettings| other.scope.hosts.iter().any(|host| service.scope.hosts.contains(host));
        for (other, _) in others.filter(|(other, _)| has_same_host(other)) {
            warnings.push(format!(
                "services '{}' and '{}' have a host and sticky = {cookie:?} in common: a browser has one cookie of a \
                 name, so each takes the other's sessions away; give them different names",
                other.name, service.name
            ));
        }
    }
    warnings
}

fn doors(settings: &Settings) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Address::Tcp(address) = &settings.admin
        && !is_local(address.ip())
    {
        warnings.push(format!(
            "the admin API is on {address}, where others reach it: it wants its token, but speaks plain HTTP, so \
             whoever is on the way can read token and answers"
        ));
    }
    let is_elsewhere = |source: &&ContractSource| match source {
        ContractSource::Network(network) => !is_local(network.network()) || !is_local(network.broadcast()),
        ContractSource::Gateway => true,
    };
    let elsewhere: Vec<String> =
        settings.contract_from.iter().filter(is_elsewhere).map(ToString::to_string).collect();
    if settings.contract && !elsewhere.is_empty() {
        warnings.push(format!(
            "/add and /rm have no passwords, and contract_from lets in more than this machine: {}; publish the \
             listener to nobody else",
            elsewhere.join(", ")
        ));
    }
    warnings
}

fn files(settings: &Settings, file: Option<&Path>) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut look = |path: &Path, open: u32, what: &str, fix: &str| {
        let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode()) & 0o7777;
        if mode & open != 0 {
            let path = path.display();
            warnings
                .push(format!("{what} {path} is open to others (mode {mode:o}); run: chmod {fix} '{path}'"));
        }
    };
    let tls = settings.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    for certificate in tls.flat_map(|tls| &tls.certificates) {
        look(&certificate.key, OPEN_KEY, "the private key", "600");
    }
    for passwords in passwords::files(settings) {
        look(passwords, OPEN_KEY, "the password file", "600");
    }
    let has_secrets = settings.services.iter().any(|service| !service.env.is_empty());
    if let Some(file) = file.filter(|_| has_secrets) {
        look(file, OPEN_CONFIGURATION, "the configuration has an env, and", "600");
    }
    if let Some(folder) = &settings.state_dir {
        look(folder, OPEN_FOLDER, "the state directory", "700");
    }
    warnings
}

fn is_local(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_would_be_lost_are_told() {
        let told = |text: &str| sessions(&config::parse(text, "evenkeel.toml").unwrap());
        let service = |name: &str, more: &str| format!("[[service]]\nname = \"{name}\"\n{more}\n");
        let elsewhere = "driver = \"static\"\naddresses = [\"127.0.0.1:1\"]\nsticky = \"seat\"";
        for text in [
            service("web", "") + &service("api", "path = \"/api\""),
            service("web", "sticky = \"a\"") + &service("api", "path = \"/api\"\nsticky = \"b\""),
            service("web", "sticky = \"a\"") + &service("api", "host = \"api.example\"\nsticky = \"a\""),
            format!("state_dir = \"/tmp/x\"\n{}", service("web", elsewhere)),
        ] {
            assert_eq!(told(&text), [""; 0], "{text}");
        }
        for (text, part) in [
            (service("web", elsewhere), "state_dir"),
            (
                service("web", "sticky = \"a\"") + &service("api", "path = \"/api\"\nsticky = \"a\""),
                "'web' and 'api'",
            ),
        ] {
            let warnings = told(&text);
            assert!(warnings.len() == 1 && warnings[0].contains(part), "{text}: {warnings:?}");
        }
    }

    #[test]
    fn doors_that_are_open_to_more_than_this_machine_are_told() {
        let told = |text: &str| {
            let settings = config::parse(&format!("{text}\n[[service]]\nname = \"web\"\n"), "evenkeel.toml");
            doors(&settings.unwrap())
        };
        let shut = [
            "",
            "contract = true",
            "contract = true\ncontract_from = [\"127.0.0.1\", \"::1\", \"127.0.0.0/16\"]",
            "contract_from = [\"0.0.0.0/0\"]",
            "admin = \"[::1]:5001\"",
            "admin = \"unix:/run/a.sock\"",
        ];
        for text in shut {
            assert_eq!(told(text), [""; 0], "{text}");
        }
        for (text, part) in [
            ("admin = \"0.0.0.0:5001\"", "plain HTTP"),
            ("admin = \"192.0.2.1:5001\"", "plain HTTP"),
            ("contract = true\ncontract_from = [\"127.0.0.0/8\", \"10.0.0.0/8\"]", ": 10.0.0.0/8;"),
            ("contract = true\ncontract_from = [\"126.0.0.0/7\"]", ": 126.0.0.0/7;"),
            ("contract = true\ncontract_from = [\"gateway\"]", ": gateway;"),
        ] {
            let warnings = told(text);
            assert!(warnings.len() == 1 && warnings[0].contains(part), "{text}: {warnings:?}");
        }
    }
}

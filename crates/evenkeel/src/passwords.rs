//! The password files that a configuration names: whether they can be used, and what is to be said of them. They are
//! read again, and followed, where requests are let in.

use std::collections::BTreeSet;
use std::path::Path;

use config::{ListenerSettings, Settings};
use fleet::in_full;

/// All of them, each once.
pub(crate) fn files(settings: &Settings) -> BTreeSet<&Path> {
    let protections = settings.services.iter().flat_map(|service| {
        let of_paths = service.policies.locations.iter().map(|location| &location.protection);
        [&service.policies.protection].into_iter().chain(of_paths)
    });
    protections.filter_map(|one| Some(one.basic_auth.as_ref()?.file.as_path())).collect()
}

/// Refuses those that cannot be used. The error says all that is wrong, a line for each file.
pub(crate) fn check(settings: &Settings) -> Result<(), String> {
    let wrong = files(settings).into_iter().filter_map(|file| proxy::check_password_file(file).err());
    let wrong: Vec<String> = wrong.map(|error| format!("error: {}", in_full(&error))).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// What works and is still not as it should be.
pub(crate) fn warnings(settings: &Settings) -> Vec<String> {
    let of_files = files(settings).into_iter();
    let of_files = of_files.flat_map(|file| proxy::check_password_file(file).unwrap_or_default());
    of_files.chain(in_the_open(settings)).collect()
}

/// Passwords that everybody on the way can read. Where there is a proxy in front, it may have the TLS.
fn in_the_open(settings: &Settings) -> Vec<String> {
    if files(settings).is_empty() || !settings.clients.trusted_proxies.is_empty() {
        return Vec::new();
    }
    let is_open = |listener: &ListenerSettings| {
        let is_elsewhere = !listener.address.ip().to_canonical().is_loopback();
        is_elsewhere && listener.tls.is_none() && !listener.is_redirecting && !listener.proxy_protocol
    };
    let told = |listener: ListenerSettings| {
        let address = listener.address;
        format!(
            "passwords are asked for, and {address} speaks plain HTTP to others than this machine: whoever is on the way \
             can read them; give it [listener.tls], or redirect = \"https\", or name the proxy in front in trusted_proxies"
        )
    };
    settings.all_listeners().into_iter().filter(is_open).map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_that_others_can_read_are_told() {
        let service = "[[service]]\nname = \"web\"\n";
        let asks = "basic_auth = \"x\"\n";
        let tls = "[[listener]]\naddress = \"0.0.0.0:443\"\n[listener.tls]\n\
                   certificates = [{ certificate = \"a\", key = \"b\" }]\n";
        let to_tls = "[[listener]]\naddress = \"0.0.0.0:80\"\nredirect = \"https\"\n";
        let open = "listen = \"0.0.0.0:80\"\n";
        for (text, count) in [
            (format!("{open}{service}{asks}"), 1),
            (format!("{open}{service}[[service.location]]\npath = \"/x\"\n{asks}"), 1),
            (format!("{open}{service}"), 0),
            (format!("{service}{asks}"), 0),
            (format!("{tls}{to_tls}{service}{asks}"), 0),
            (format!("{open}trusted_proxies = [\"10.0.0.0/8\"]\n{service}{asks}"), 0),
        ] {
            let settings = config::parse(&text, "evenkeel.toml").unwrap();
            assert_eq!(in_the_open(&settings).len(), count, "{text}");
        }
    }
}

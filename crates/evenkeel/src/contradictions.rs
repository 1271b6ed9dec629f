//! Pairs of limits that contradict each other: both are kept to, and yet one of them never comes to anything, or
//! undoes what the other promises. Said at the start and by `evenkeel validate`.

use std::time::Duration;

use config::{ServiceSettings, Settings};
use humantime::format_duration;

/// A pair of limits of a service, in the order in which they are told.
type Pair = fn(&ServiceSettings) -> Option<String>;

/// Each of them looks for one contradiction.
const PAIRS: [Pair; 9] = [
    drain_and_response,
    request_and_response,
    request_and_queue,
    connect_and_response,
    queue_and_its_timeout,
    start_and_heartbeat,
    start_and_silence,
    bake_and_heartbeat,
    requests_and_replicas,
];

/// All contradictions of these settings.
pub(crate) fn all(settings: &Settings) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(clients_and_connections(settings));
    found.extend(bodies_and_memory(settings));
    for service in &settings.services {
        let name = &service.name;
        let of_service = PAIRS.iter().filter_map(|pair| pair(service));
        found.extend(of_service.map(|words| format!("service '{name}': {words}")));
        found.extend(
            of_service_and_of_all(settings, service).map(|words| format!("service '{name}': {words}")),
        );
    }
    found
}

fn drain_and_response(service: &ServiceSettings) -> Option<String> {
    let (drain, response) = (service.drain_deadline, service.timeouts.response);
    (service.is_owned() && drain < response).then(|| {
        format!(
            "a response may take {} (timeouts.response), but a replica that goes is given {} for the requests that \
             it has (drain.deadline): slower ones are cut off by a rollout or a removal",
            shown(response),
            shown(drain)
        )
    })
}

fn request_and_response(service: &ServiceSettings) -> Option<String> {
    let (request, response) = (service.timeouts.request?, service.timeouts.response);
    // Whoever bounds the whole need not say it twice.
    let is_chosen = response != usual().timeouts.response;
    (is_chosen && request <= response).then(|| {
        format!(
            "a request may take {} as a whole (timeouts.request), so that the {} of timeouts.response are never \
             over before",
            shown(request),
            shown(response)
        )
    })
}

fn request_and_queue(service: &ServiceSettings) -> Option<String> {
    let (request, queue) = (service.timeouts.request?, service.limits.queue_timeout);
    let is_chosen = queue != usual().limits.queue_timeout;
    (is_chosen && request <= queue).then(|| {
        format!(
            "a request may wait {} in line (limits.queue_timeout), but take only {} as a whole \
             (timeouts.request): it is given up in the line, with 504 and not with 503",
            shown(queue),
            shown(request)
        )
    })
}

fn connect_and_response(service: &ServiceSettings) -> Option<String> {
    let (connect, response) = (service.timeouts.connect, service.timeouts.response);
    let whole = service.timeouts.request.unwrap_or(Duration::MAX);
    let (least, name) = match whole < response {
        true => (whole, "timeouts.request"),
        false => (response, "timeouts.response"),
    };
    (connect >= least).then(|| {
        format!(
            "a replica may take {} to accept a connection (timeouts.connect), which is no less than the {} for all \
             that comes then ({name})",
            shown(connect),
            shown(least)
        )
    })
}

fn queue_and_its_timeout(service: &ServiceSettings) -> Option<String> {
    let limits = &service.limits;
    match (limits.queue, limits.queue_timeout) {
        (0, time) if time != usual().limits.queue_timeout => Some(format!(
            "requests may wait {} in line (limits.queue_timeout), but the line has no places (limits.queue = 0)",
            shown(time)
        )),
        (places, Duration::ZERO) if places > 0 && places != usual().limits.queue => Some(format!(
            "the line has {places} places (limits.queue), but nobody may wait in it (limits.queue_timeout is 0)"
        )),
        _ => None,
    }
}

fn start_and_heartbeat(service: &ServiceSettings) -> Option<String> {
    let (start, answer) = (service.start_timeout, service.heartbeat.timeout);
    (start <= answer).then(|| {
        format!(
            "a heartbeat may take {} (heartbeat.timeout), but a replica that has answered none after {} is given up \
             (start_timeout)",
            shown(answer),
            shown(start)
        )
    })
}

fn start_and_silence(service: &ServiceSettings) -> Option<String> {
    let silence = service.heartbeat.every.saturating_mul(service.health.misses);
    let start = service.start_timeout;
    (service.is_owned() && silence >= start).then(|| {
        format!(
            "a replica counts as silent after {} (heartbeat.every, heartbeat.misses), and is ended when it has been \
             silent for {} (start_timeout): one that is silent for a moment has no time to come back",
            shown(silence),
            shown(start)
        )
    })
}

fn bake_and_heartbeat(service: &ServiceSettings) -> Option<String> {
    let (bake, every) = (service.rollout.bake, service.heartbeat.every);
    (service.is_owned() && !bake.is_zero() && bake < every).then(|| {
        format!(
            "a new replica has to stay well for {} in a rollout (deploy.bake), and is asked only every {} \
             (heartbeat.every): nobody looks in between",
            shown(bake),
            shown(every)
        )
    })
}

fn requests_and_replicas(service: &ServiceSettings) -> Option<String> {
    let (requests, per_replica) = (service.limits.requests?, service.limits.requests_per_replica?);
    let most = per_replica.saturating_mul(u64::from(service.max_replicas));
    (requests as u64 > most).then(|| {
        format!(
            "{requests} requests may be under way (limits.requests), but {} replicas (max_replicas) with \
             {per_replica} each (limits.requests_per_replica) have no more than {most}",
            service.max_replicas
        )
    })
}

/// What a service may have, and what all may have together.
fn of_service_and_of_all(settings: &Settings, service: &ServiceSettings) -> Option<String> {
    let (all, one) = (settings.requests_max?, service.limits.requests?);
    (one > all).then(|| {
        format!(
            "{one} of its requests may be under way ([service.limits] requests), and {all} of all services \
             ([limits] requests)"
        )
    })
}

fn clients_and_connections(settings: &Settings) -> Option<String> {
    let (all, one) = (settings.connections_max?, settings.clients.connections_per_client_max?);
    (one > all).then(|| {
        format!(
            "a client may have {one} connections (limits.connections_per_client), and all clients together {all} \
             (limits.connections)"
        )
    })
}

fn bodies_and_memory(settings: &Settings) -> Option<String> {
    let (memory, body) = (settings.memory_max?, settings.clients.replay_body_max);
    // When half of it is taken, nothing is kept for convenience.
    (body > memory / 2).then(|| {
        format!(
            "a body of {body} bytes is to be kept (limits.replay_body), and the half of limits.memory up to which \
             any is kept is {} bytes",
            memory / 2
        )
    })
}

/// What stands where nothing is said.
fn usual() -> ServiceSettings {
    Settings::demo().services.swap_remove(0)
}

fn shown(time: Duration) -> impl std::fmt::Display {
    format_duration(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        all(&config::parse(text, "evenkeel.toml").unwrap())
    }

    #[test]
    fn what_goes_together_is_not_told_and_the_defaults_do() {
        let service = "[[service]]\nname = \"web\"\n";
        assert_eq!(all(&Settings::demo()), [""; 0]);
        for text in [
            "",
            "[service.timeouts]\nresponse = \"10m\"\n",
            "[service.timeouts]\nrequest = \"5s\"\n",
            "[service.timeouts]\nresponse = \"5s\"\n[service.drain]\ndeadline = \"5s\"\n",
            "[service.deploy]\nbake = \"0s\"\n[service.heartbeat]\nevery = \"5s\"\n",
            "[service.limits]\nqueue = 0\n",
            "[service.limits]\nqueue_timeout = \"0s\"\n",
            "[service.limits]\nrequests = 400\nrequests_per_replica = 4\n",
            "driver = \"static\"\naddresses = [\"127.0.0.1:1\"]\n[service.drain]\ndeadline = \"1s\"\n",
        ] {
            assert_eq!(told(&format!("{service}{text}")), [""; 0], "{text}");
        }
        let together = "[limits]\nconnections = 10\nconnections_per_client = 10\nmemory = \"16MiB\"\n";
        assert_eq!(told(&format!("{together}{service}")), [""; 0]);
    }

    #[test]
    fn each_pair_that_contradicts_itself_is_told_once() {
        for (top, of_service, part) in [
            (
                "",
                "[service.drain]\ndeadline = \"59s\"",
                "1m (timeouts.response), but a replica that goes is given 59s",
            ),
            (
                "",
                "[service.timeouts]\nresponse = \"5m\"\nrequest = \"5m\"",
                "5m of timeouts.response are never over",
            ),
            (
                "",
                "[service.timeouts]\nrequest = \"15s\"\n[service.limits]\nqueue_timeout = \"20s\"",
                "wait 20s in line (limits.queue_timeout), but take only 15s",
            ),
            ("", "[service.timeouts]\nconnect = \"1m\"", "1m to accept a connection (timeouts.connect)"),
            (
                "",
                "[service.timeouts]\nconnect = \"2s\"\nrequest = \"1s\"",
                "the 1s for all that comes then (timeouts.request)",
            ),
            ("", "[service.limits]\nqueue = 0\nqueue_timeout = \"1s\"", "the line has no places"),
            (
                "",
                "[service.limits]\nqueue = 5\nqueue_timeout = \"0s\"",
                "5 places (limits.queue), but nobody",
            ),
            (
                "",
                "start_timeout = \"2s\"\n[service.heartbeat]\nmisses = 1\nevery = \"1900ms\"\ntimeout = \"1900ms\"\n[service.deploy]\nbake = \"1s\"",
                "stay well for 1s in a rollout (deploy.bake), and is asked only every 1s 900ms",
            ),
            ("", "start_timeout = \"1s\"", "silent after 1s (heartbeat.every, heartbeat.misses)"),
            (
                "",
                "max_replicas = 10\n[service.limits]\nrequests = 41\nrequests_per_replica = 4",
                "10 replicas (max_replicas) with 4 each",
            ),
            ("[limits]\nrequests = 10", "[service.limits]\nrequests = 11", "11 of its requests"),
            (
                "[limits]\nconnections = 10\nconnections_per_client = 11",
                "",
                "a client may have 11 connections",
            ),
            ("[limits]\nmemory = \"16MiB\"\nreplay_body = \"9MiB\"", "", "a body of 9437184 bytes"),
        ] {
            let text = format!("{top}\n[[service]]\nname = \"web\"\n{of_service}\n");
            let warnings = told(&text);
            assert!(warnings.len() == 1 && warnings[0].contains(part), "{text}: {warnings:?}");
        }
        let late = "[[service]]\nname = \"web\"\nstart_timeout = \"100ms\"\n";
        let warnings = told(late);
        assert!(warnings[0].contains("a heartbeat may take 250ms (heartbeat.timeout)"), "{warnings:?}");
    }
}

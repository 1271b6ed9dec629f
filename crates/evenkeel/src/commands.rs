//! The commands that show and change a running balancer.

use control::{EditShape, EventShape, ReplicaShape, ScaleShape, ServiceShape};
use hyper::Method;

use crate::cli::{EditOptions, Target};
use crate::{Outcome, client, say};

/// `evenkeel status`
pub(crate) fn status(target: &Target) -> Outcome {
    let services = chosen(target)?;
    if target.json {
        return print_json(&services);
    }
    let rows = services.iter().map(|service| {
        let state = if service.ready == service.desired { "whole" } else { "not whole" };
        [
            service.name.clone(),
            format!("{}/{}", service.ready, service.desired),
            state.into(),
            service.generation.to_string(),
        ]
    });
    say::table(["SERVICE", "READY", "STATE", "GENERATION"], &rows.collect::<Vec<_>>());
    Ok(())
}

/// `evenkeel ps`
pub(crate) fn ps(target: &Target) -> Outcome {
    let services = chosen(target)?;
    if target.json {
        return print_json(&services);
    }
    let mut rows = Vec::new();
    for service in &services {
        for replica in service.replicas.iter().chain(&service.others) {
            rows.push(row(&service.name, replica));
        }
    }
    say::table(["SERVICE", "SEAT", "LIFE", "NAME", "STATE", "ADDRESS", "REASON"], &rows);
    Ok(())
}

/// `evenkeel events`
pub(crate) fn events(target: &Target) -> Outcome {
    let mut events: Vec<EventShape> = client::parse(&client::call(target, &Method::GET, "/v1/events", &())?)?;
    events.retain(|event| target.service.as_ref().is_none_or(|service| event.service == *service));
    if target.json {
        return print_json(&events);
    }
    let rows = events.into_iter().map(|event| {
        let dash = || "-".to_string();
        [
            event.at,
            event.service,
            event.seat.to_string(),
            event.incarnation.to_string(),
            event.replica.unwrap_or_else(dash),
            event.event,
            event.reason.unwrap_or_else(dash),
        ]
    });
    let head = ["TIME", "SERVICE", "SEAT", "LIFE", "NAME", "EVENT", "REASON"];
    say::table(head, &rows.collect::<Vec<_>>());
    Ok(())
}

/// `evenkeel add`
pub(crate) fn add(options: EditOptions) -> Outcome {
    edit(&Method::POST, options)
}

/// `evenkeel rm`
pub(crate) fn rm(options: EditOptions) -> Outcome {
    edit(&Method::DELETE, options)
}

/// `evenkeel scale`
pub(crate) fn scale(replicas: u32, target: &Target) -> Outcome {
    let path = format!("/v1/services/{}/scale", client::service_name(target)?);
    let body = client::call(target, &Method::PUT, &path, &ScaleShape { replicas })?;
    print_after(target, &client::parse(&body)?)
}

fn edit(method: &Method, options: EditOptions) -> Outcome {
    let target = &options.target;
    let count =
        options.count.unwrap_or_else(|| u32::try_from(options.names.len()).unwrap_or(u32::MAX).max(1));
    let shape = EditShape { count: Some(count), names: options.names };
    let path = format!("/v1/services/{}/replicas", client::service_name(target)?);
    let body = client::call(target, method, &path, &shape)?;
    print_after(target, &client::parse(&body)?)
}

fn chosen(target: &Target) -> Result<Vec<ServiceShape>, (crate::Stopped, String)> {
    let mut services = client::services(target)?;
    if let Some(name) = &target.service {
        services.retain(|service| service.name == *name);
        if services.is_empty() {
            return Err(crate::failed(format!("there is no service '{name}'")));
        }
    }
    Ok(services)
}

fn print_after(target: &Target, service: &ServiceShape) -> Outcome {
    if target.json {
        return print_json(service);
    }
    let names: Vec<&str> = service.replicas.iter().map(|replica| replica.name.as_str()).collect();
    say!("{}: {} replicas: {}", service.name, names.len(), names.join(", "));
    Ok(())
}

fn print_json(shown: &impl serde::Serialize) -> Outcome {
    say!("{}", serde_json::to_string_pretty(shown).map_err(crate::failed)?);
    Ok(())
}

fn row(service: &str, replica: &ReplicaShape) -> [String; 7] {
    [
        service.into(),
        replica.seat.to_string(),
        replica.incarnation.to_string(),
        replica.name.clone(),
        replica.state.clone(),
        replica.address.clone().unwrap_or_else(|| "-".into()),
        replica.reason.clone().unwrap_or_else(|| "-".into()),
    ]
}

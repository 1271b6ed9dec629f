//! The commands that change a running balancer: `add`, `rm`, `scale`, `pause` and `resume`.

use api::{EditShape, PauseShape, Route, ScaleShape, ServiceShape};

use crate::client::Client;
use crate::error::CommandError;
use crate::options::{EditOptions, Target};
use crate::say::{json, say};

type Outcome = Result<(), CommandError>;

/// `evenkeel add`
pub(crate) fn add(client: &Client, options: EditOptions) -> Outcome {
    edit(client, Route::AddReplicas, options)
}

/// `evenkeel rm`
pub(crate) fn rm(client: &Client, options: EditOptions) -> Outcome {
    edit(client, Route::RemoveReplicas, options)
}

/// `evenkeel scale`
pub(crate) fn scale(client: &Client, replicas: u32, target: &Target) -> Outcome {
    let service = client.service_name(target)?;
    let after = client.call(Route::Scale, &service, &ScaleShape { replicas })?;
    print_after(target, &after)
}

/// `evenkeel pause`
pub(crate) fn pause(client: &Client, length: Option<String>, target: &Target) -> Outcome {
    let service = client.service_name(target)?;
    let service: ServiceShape = client.call(Route::Pause, &service, &PauseShape { length })?;
    if target.json {
        return json(&service);
    }
    let until = service.paused_until.as_deref().unwrap_or("now");
    say(format_args!("{}: requests wait until {until}, or until `evenkeel resume`", service.name));
    Ok(())
}

/// `evenkeel resume`
pub(crate) fn resume(client: &Client, target: &Target) -> Outcome {
    let service = client.service_name(target)?;
    let service: ServiceShape = client.call(Route::Resume, &service, &PauseShape::default())?;
    if target.json {
        return json(&service);
    }
    say(format_args!("{}: requests are let through", service.name));
    Ok(())
}

fn edit(client: &Client, route: Route, options: EditOptions) -> Outcome {
    let target = &options.target;
    let count =
        options.count.unwrap_or_else(|| u32::try_from(options.names.len()).unwrap_or(u32::MAX).max(1));
    let shape = EditShape { count: Some(count), names: options.names };
    let service = client.service_name(target)?;
    let after = client.call(route, &service, &shape)?;
    print_after(target, &after)
}

fn print_after(target: &Target, service: &ServiceShape) -> Outcome {
    if target.json {
        return json(service);
    }
    let names: Vec<&str> = service.replicas.iter().map(|replica| replica.name.as_str()).collect();
    let noun = if names.len() == 1 { "replica" } else { "replicas" };
    say(format_args!("{}: {} {noun}: {}", service.name, names.len(), names.join(", ")));
    Ok(())
}

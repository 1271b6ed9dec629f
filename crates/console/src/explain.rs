//! `evenkeel explain`: which replica a request would get, who would be next, and why any are passed over.

use api::{ChoiceShape, ExplainShape, ExplanationShape, Route, RouteShape};
use fleet::harmless_json;

use crate::client::Client;
use crate::error::CommandError;
use crate::options::ExplainOptions;
use crate::say::{say, table};

/// `evenkeel explain`
pub(crate) fn run(client: &Client, options: &ExplainOptions) -> Result<(), CommandError> {
    let mut headers = options.headers.clone();
    if !options.cookies.is_empty() {
        let cookies: Vec<String> =
            options.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        headers.push(("cookie".into(), cookies.join("; ")));
    }
    let question = ExplainShape {
        path: options.path.clone(),
        headers,
        client: options.client_ip,
        listener: options.listener.clone(),
    };
    let target = &options.target;
    let service = client.service_name(target)?;
    let explained: ExplanationShape = client.call(Route::Explain, &service, &question)?;
    if target.json {
        let explained = serde_json::to_string(&explained).map_err(CommandError::new)?;
        say(format_args!("{}", harmless_json(&explained)));
        return Ok(());
    }
    show_way(&service, &explained);
    show(&explained);
    Ok(())
}

/// Whom such a request is for, and what it goes through on its way.
fn show_way(service: &str, explained: &ExplanationShape) {
    let all = || "all".to_string();
    let row = |route: &RouteShape| {
        let listeners = route.listeners.join(", ");
        [
            route.host.clone(),
            route.path.clone(),
            if listeners.is_empty() { all() } else { listeners },
            route.service.clone().unwrap_or_else(|| format!("to {}", route.to.as_deref().unwrap_or("-"))),
            route.verdict.clone(),
        ]
    };
    let rows: Vec<_> = explained.routes.iter().map(row).collect();
    // With one service for everything there is nothing to tell.
    if rows.len() > 1 || explained.routes.iter().any(|route| !route.is_chosen()) {
        table(["HOST", "PATH", "LISTENERS", "SERVICE", "ROUTE"], &rows);
    }
    let chosen = explained.routes.iter().find(|route| route.is_chosen());
    match chosen.map(|route| route.service.as_deref()) {
        Some(Some(other)) if other != service => {
            say(format_args!("such a request goes to service '{other}'; in '{service}' it would be so:"));
        }
        Some(None) => say(format_args!("such a request is sent elsewhere; in '{service}' it would be so:")),
        None if !rows.is_empty() => {
            say(format_args!("nobody is for such a request; in '{service}' it would be so:"));
        }
        Some(Some(_)) | None => {}
    }
    for policy in &explained.policies {
        say(format_args!("it goes through {}: {}", policy.policy, policy.does));
    }
}

/// What it would have to wait for.
fn show_limits(explained: &ExplanationShape) {
    for limit in explained.limits.iter().filter(|limit| limit.in_use >= limit.most) {
        let (name, in_use, waiting) = (&limit.name, limit.in_use, explained.waiting);
        say(format_args!("first it would wait in line: {name} is reached ({in_use} in use; {waiting} wait)"));
    }
}

fn show(explained: &ExplanationShape) {
    if let Some(folder) = &explained.folder {
        say(format_args!("the balancer {folder}"));
        return show_limits(explained);
    }
    let rule = &explained.key_rule;
    let words = match (&explained.replica, explained.is_random) {
        (Some(replica), false) => format!("placed by {rule}: replica '{replica}' gets it"),
        (Some(replica), true) => {
            format!(
                "the rule '{rule}' finds no key in it, so it is placed at random; one such draw: '{replica}'"
            )
        }
        (None, _) => "nobody can take it now: it would wait for a replica".to_string(),
    };
    say(format_args!("{words}"));
    show_limits(explained);
    let dash = || "-".to_string();
    let row = |(place, choice): (usize, &ChoiceShape)| {
        [
            (place + 1).to_string(),
            choice.seat.to_string(),
            choice.replica.clone().unwrap_or_else(dash),
            choice.verdict.clone(),
            choice.in_flight.to_string(),
            choice.bound.map_or_else(dash, |bound| bound.to_string()),
        ]
    };
    let rows: Vec<_> = explained.order.iter().enumerate().map(row).collect();
    table(["PLACE", "SEAT", "REPLICA", "VERDICT", "IN FLIGHT", "BOUND"], &rows);
}

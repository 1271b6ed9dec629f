//! `evenkeel explain`: which replica a request would get, who would be next, and why any are passed
//! over. The question is answered inside the running balancer, from the very table that it routes by.

use std::net::{IpAddr, Ipv4Addr};

use config::{ServiceSettings, Settings};
use control::{Control, ExplainShape, Explainer, ExplanationShape};
use fleet::Reader;
use h1::{BadHead, HeadEnd, HeadLimits, RequestHead};
use hyper::Method;
use placement::Key;
use proxy::KeyRule;

use crate::cli::ExplainOptions;
use crate::{Outcome, client, failed, say, wiring};

/// The balancer's side: key rules and tables of all services.
pub(crate) fn explainer(settings: &Settings, controls: &[Control]) -> Explainer {
    let services = settings.services.iter().zip(controls);
    let known: Vec<(String, String, KeyRule, Reader)> = services
        .map(|(service, control)| {
            (
                service.name.clone(),
                rule_in_words(service),
                wiring::key_rule(&service.key),
                control.table.clone(),
            )
        })
        .collect();
    let limits = settings.clients.head.clone();
    Box::new(move |name, question| {
        let found = known.iter().find(|(service, ..)| service == name);
        let (_, words, rule, table) = found.ok_or_else(|| format!("there is no service '{name}'"))?;
        let head = head_of(question, &limits)?;
        let client = question.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let table = table.load();
        let key = rule.key(&head, client, table.key_hash());
        let choices = table.explain(key.unwrap_or_else(|| Key::from_number(fastrand::u64(..))));
        Ok(ExplanationShape::new(words.clone(), key.is_none(), &choices))
    })
}

/// The head that such a request would have, read as the data plane reads it.
fn head_of(question: &ExplainShape, limits: &HeadLimits) -> Result<RequestHead, String> {
    let path = question.path.as_deref().unwrap_or("/");
    if !path.starts_with('/') {
        return Err(format!("a path begins with a slash: {path:?}"));
    }
    let mut text = format!("GET {path} HTTP/1.0\r\n");
    for (name, value) in &question.headers {
        text = text + name + ": " + value + "\r\n";
    }
    text += "\r\n";
    let mut head = RequestHead::default();
    let end = HeadEnd::default().find(text.as_bytes(), limits);
    // Whoever smuggles an empty line into a value has written more than a head.
    let is_whole = |end: Option<usize>| end == Some(text.len());
    let parsed = end.and_then(|end| {
        if is_whole(end) { head.parse(text.as_bytes(), limits) } else { Err(BadHead::ControlCharacter) }
    });
    parsed.map_err(|fault| format!("this is no request: {fault}"))?;
    Ok(head)
}

fn rule_in_words(service: &ServiceSettings) -> String {
    use config::KeyRule;
    match &service.key {
        KeyRule::Random => "random".into(),
        KeyRule::Path => "path".into(),
        KeyRule::ClientIp => "client-ip".into(),
        KeyRule::Header(name) => format!("header:{name}"),
        KeyRule::Cookie(name) => format!("cookie:{name}"),
        KeyRule::Query(name) => format!("query:{name}"),
    }
}

/// The command's side.
pub(crate) fn run(options: &ExplainOptions) -> Outcome {
    let mut headers = options.headers.clone();
    if !options.cookies.is_empty() {
        let cookies: Vec<String> =
            options.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        headers.push(("cookie".into(), cookies.join("; ")));
    }
    let question = ExplainShape { path: options.path.clone(), headers, client: options.client_ip };
    let target = &options.target;
    let path = format!("/v1/services/{}/explain", client::service_name(target)?);
    let body = client::call(target, &Method::POST, &path, &question)?;
    let explained: ExplanationShape = client::parse(&body)?;
    if target.json {
        say!("{}", serde_json::to_string(&explained).map_err(failed)?);
        return Ok(());
    }
    show(&explained);
    Ok(())
}

fn show(explained: &ExplanationShape) {
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
    say!("{words}");
    let dash = || "-".to_string();
    let row = |(place, choice): (usize, &control::ChoiceShape)| {
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
    say::table(["PLACE", "SEAT", "REPLICA", "VERDICT", "IN FLIGHT", "BOUND"], &rows);
}

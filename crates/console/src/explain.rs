//! `evenkeel explain`: which replica a request would get, who would be next, and why any are passed over.

use api::{ChoiceShape, ExplainShape, ExplanationShape, Route};

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
    let question = ExplainShape { path: options.path.clone(), headers, client: options.client_ip };
    let target = &options.target;
    let service = client.service_name(target)?;
    let explained: ExplanationShape = client.call(Route::Explain, &service, &question)?;
    if target.json {
        say(format_args!("{}", serde_json::to_string(&explained).map_err(CommandError::new)?));
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
    say(format_args!("{words}"));
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

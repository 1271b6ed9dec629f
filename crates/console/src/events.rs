//! `evenkeel events`: what happened lately, and what happens.

use std::ops::ControlFlow;
use std::time::Duration;

use api::{EventShape, Route};

use crate::client::Client;
use crate::error::CommandError;
use crate::options::Target;
use crate::say::{json, json_line, say_on, table};
use crate::show::{life_of, seat_of};

/// How often it is looked for news.
const LOOK_EVERY: Duration = Duration::from_millis(500);

const HEAD: [&str; 7] = ["TIME", "SERVICE", "SEAT", "LIFE", "NAME", "EVENT", "REASON"];

/// Which events.
pub(crate) struct Wanted {
    /// Whether to go on with those that come.
    pub(crate) follow: bool,
    /// Of the replica with this name alone.
    pub(crate) replica: Option<String>,
    pub(crate) target: Target,
}

impl Wanted {
    fn has(&self, event: &EventShape) -> bool {
        let is_of = |wanted: &Option<String>, name: Option<&String>| {
            wanted.as_ref().is_none_or(|wanted| name == Some(wanted))
        };
        is_of(&self.target.service, Some(&event.service)) && is_of(&self.replica, event.replica.as_ref())
    }
}

/// `evenkeel events`
pub(crate) fn show(client: &Client, wanted: &Wanted) -> Result<(), CommandError> {
    let (mut latest, shown) = news(client, wanted, 0)?;
    if !wanted.follow {
        if wanted.target.json {
            return json(&shown);
        }
        table(HEAD, &shown.into_iter().map(row).collect::<Vec<_>>());
        return Ok(());
    }
    let mut flow = tell(shown, wanted.target.json)?;
    while flow.is_continue() {
        std::thread::sleep(LOOK_EVERY);
        let came = news(client, wanted, latest)?;
        latest = came.0;
        flow = tell(came.1, wanted.target.json)?;
    }
    Ok(())
}

/// The number of the last event, and those after this one that are wanted. A balancer that was started anew
/// counts anew.
fn news(client: &Client, wanted: &Wanted, after: u64) -> Result<(u64, Vec<EventShape>), CommandError> {
    let mut events: Vec<EventShape> = client.get(Route::Events)?;
    let latest = events.last().map_or(0, |event| event.number);
    let after = if latest < after { 0 } else { after };
    events.retain(|event| event.number > after && wanted.has(event));
    Ok((latest, events))
}

/// One line for each: nobody knows how wide the next will be.
fn tell(events: Vec<EventShape>, is_json: bool) -> Result<ControlFlow<()>, CommandError> {
    for event in events {
        let line = if is_json { json_line(&event)? } else { row(event).join("  ") };
        if say_on(format_args!("{line}")).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn row(event: EventShape) -> [String; 7] {
    let dash = || "-".to_string();
    [
        event.at,
        event.service,
        event.seat.map_or_else(dash, seat_of),
        event.life.map_or_else(dash, |life| life_of(event.seat, life)),
        event.replica.unwrap_or_else(dash),
        event.event,
        event.reason.unwrap_or_else(dash),
    ]
}

//! `evenkeel logs`: what a replica writes, and how the last one ended that died in its seat.

use std::ops::ControlFlow;

use api::{LastEndShape, OutputKind, OutputShape, ReplicaShape, Route, ServiceShape};
use fleet::harmless;

use crate::client::Client;
use crate::error::CommandError;
use crate::options::Target;
use crate::say::{complain, json_line, say, say_on};
use crate::show::{chosen, everybody};

/// How many names are told to whoever asks for one that there is not.
const NAMES_MAX: usize = 20;

/// Whose output.
pub(crate) struct Wanted {
    pub(crate) name: String,
    /// Whether to go on with what comes, until it ends.
    pub(crate) follow: bool,
    pub(crate) target: Target,
}

/// One that is there, or whose seat is, with its service.
#[derive(Clone, Copy)]
struct Meant<'s> {
    service: &'s ServiceShape,
    replica: &'s ReplicaShape,
}

impl<'s> Meant<'s> {
    /// Who died in its seat last.
    fn dead(self) -> Option<&'s LastEndShape> {
        self.replica.last_end.as_ref()
    }
}

/// `evenkeel logs`
pub(crate) fn show(client: &Client, wanted: &Wanted) -> Result<(), CommandError> {
    let services = chosen(client, &wanted.target)?;
    let all =
        services.iter().flat_map(|service| everybody(service).map(move |replica| Meant { service, replica }));
    let all: Vec<Meant<'_>> = all.collect();
    let name = wanted.name.as_str();
    let living = only(&all, name, |one| one.replica.name == name)?;
    let of_the_dead = only(&all, name, |one| one.dead().is_some_and(|end| end.name == name))?;
    match (living, of_the_dead) {
        (None, None) => Err(CommandError::new(unknown(name, &all))),
        (None, Some(heir)) if wanted.follow => {
            let (heir, dead) = (&heir.replica.name, heir.dead().map_or("", |end| end.reason.as_str()));
            Err(CommandError::new(format!(
                "'{name}' {dead}; in its seat is '{heir}' now, which can be followed"
            )))
        }
        (Some(living), _) if wanted.follow => read(client, living, wanted),
        (None, Some(heir)) => show_end(heir, &wanted.target),
        (Some(living), of_the_dead) => {
            if let Some(heir) = of_the_dead.or(Some(living).filter(|living| living.dead().is_some())) {
                show_end(heir, &wanted.target)?;
            }
            // Who does not run has only had predecessors that write.
            if living.dead().is_some() && living.replica.runs_as.is_none() {
                return Ok(());
            }
            read(client, living, wanted)
        }
    }
}

/// The one that is meant; that there may be none, but not several.
fn only<'s>(
    all: &[Meant<'s>],
    name: &str,
    is_meant: impl Fn(&Meant<'s>) -> bool,
) -> Result<Option<Meant<'s>>, CommandError> {
    let mut meant = all.iter().copied().filter(is_meant);
    let first = meant.next();
    match first
        .and_then(|first| meant.find(|other| other.service.name != first.service.name).zip(Some(first)))
    {
        Some((other, first)) => Err(CommandError::new(format!(
            "'{name}' is in several services, choose one with --service: {}, {}",
            first.service.name, other.service.name
        ))),
        None => Ok(first),
    }
}

fn unknown(name: &str, all: &[Meant<'_>]) -> String {
    let mut names: Vec<&str> = all.iter().map(|one| one.replica.name.as_str()).collect();
    names.extend(all.iter().filter_map(|one| one.dead()).map(|end| end.name.as_str()));
    names.dedup();
    let more = names.len().saturating_sub(NAMES_MAX);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    names.truncate(NAMES_MAX);
    let known = if names.is_empty() {
        "there is none at all".into()
    } else {
        format!("there are: {}", names.join(", "))
    };
    format!("there is no replica '{name}', and none of that name has died lately; {known}{more}")
}

/// How the last one ended in a seat, and what it wrote.
fn show_end(heir: Meant<'_>, target: &Target) -> Result<(), CommandError> {
    let Some(end) = heir.dead() else { return Ok(()) };
    let shape = |kind, text: &str| OutputShape { replica: end.name.clone(), kind, text: text.to_owned() };
    if target.json {
        for line in &end.last_output {
            say(format_args!("{}", json_line(&shape(OutputKind::Line, line))?));
        }
        say(format_args!("{}", json_line(&shape(OutputKind::Ended, &end.reason))?));
        return Ok(());
    }
    say(format_args!("{} {}", end.name, end.reason));
    end.last_output.iter().for_each(|line| say(format_args!("  | {line}")));
    Ok(())
}

/// Reads an output until it is over, or nobody listens any more.
fn read(client: &Client, meant: Meant<'_>, wanted: &Wanted) -> Result<(), CommandError> {
    let name = &meant.replica.name;
    if !wanted.follow && !wanted.target.json {
        say(format_args!("{name} is {}", meant.replica.state));
    }
    let path =
        Route::Output.path_of_replica(&meant.service.name, name) + "?follow=" + &wanted.follow.to_string();
    let mut last = None;
    let mut failure = None;
    client.lines(Route::Output, &path, |line| {
        let shape = match serde_json::from_str::<OutputShape>(line) {
            Ok(shape) => shape,
            Err(error) => {
                failure = Some(CommandError::new(format!(
                    "the admin API's answer is not what this version expects: {error}"
                )));
                return ControlFlow::Break(());
            }
        };
        last = Some(shape.kind);
        tell(&shape, wanted)
    })?;
    match (failure, last) {
        (Some(failure), _) => Err(failure),
        (None, Some(OutputKind::Broken)) => {
            Err(CommandError::new(format!("the output of '{name}' is not all")))
        }
        (None, None | Some(OutputKind::Line | OutputKind::LeftOut | OutputKind::Ended)) => Ok(()),
    }
}

fn tell(shape: &OutputShape, wanted: &Wanted) -> ControlFlow<()> {
    if wanted.target.json {
        return json_line(shape).map_or(ControlFlow::Break(()), |line| say_on(format_args!("{line}")));
    }
    let (name, text) = (harmless(&shape.replica), harmless(&shape.text));
    match shape.kind {
        OutputKind::Line if wanted.follow => return say_on(format_args!("{text}")),
        OutputKind::Line => return say_on(format_args!("  | {text}")),
        // None of these is a line of the replica's own, so they are told beside them.
        OutputKind::LeftOut => complain(&format!("… {text}")),
        OutputKind::Broken => complain(&format!("{name}: {text}")),
        OutputKind::Ended => complain(&format!("{name} {text}")),
    }
    ControlFlow::Continue(())
}

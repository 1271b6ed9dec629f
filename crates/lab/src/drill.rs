//! Drills: a bounded fault against a fleet that runs, under load, and what clients saw of it.
//!
//! It touches one replica of the balancer that it is told, from outside and on this host only. What it
//! does is announced before and undone afterwards, also when it is interrupted.

mod report;
mod watch;

mod fault;
mod victim;

mod engine;
mod processes;
mod sockets;

mod view;

pub use fault::Fault;
pub use report::{Objective, Period, Report, Times};

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::check;
use crate::http::{CallError, Door};
use crate::load::{Limits, Load, Pace, Running};
use crate::plan::{RequestPlan, Target};
use view::Service;
use watch::Watched;

/// How long the load runs before the fault, and after the fleet is whole again.
const CALM: Duration = Duration::from_secs(2);
/// How long a request may take. A balancer may hold one back for some seconds rather than lose it.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// The most connections of the load.
const CONNECTIONS_MAX: NonZeroU32 = NonZeroU32::new(4096).expect("it is not zero");
/// How long the load may run at all.
const LOAD_MAX: Duration = Duration::from_secs(3600);
/// How often somebody looks whether it was interrupted.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long the first request may take.
const PROBE_MAX: Duration = Duration::from_secs(20);

/// What is done to whom, and how much load there is meanwhile.
#[derive(Clone, Debug)]
pub struct Drill {
    /// The balancer's admin API.
    pub admin: Door,
    /// The service; not needed where there is only one.
    pub service: Option<String>,
    /// The replica; without it, the first one.
    pub replica: Option<String>,
    /// Where clients of the balancer connect, and what they send as `Host`.
    pub target: Target,
    /// The path that they ask for.
    pub path: String,
    /// How many requests a second.
    pub rate: NonZeroU32,
    /// How long a fault lasts that has an end of its own.
    pub length: Duration,
    /// What has to be kept.
    pub objective: Objective,
    /// Goes on where it would refuse: the fleet is not whole, or nobody might start the replica again.
    pub is_forced: bool,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The balancer's admin API does not answer.
    #[error("no balancer answers; start one with `evenkeel up`, or name its admin API with --admin")]
    NoBalancer(#[source] Box<CallError>),
    /// Clients are not answered, even without a fault.
    #[error("clients are not served; name the balancer's listener with --url")]
    NoAnswer(#[source] Box<CallError>),
    /// It would do harm, or show nothing.
    #[error("{0}")]
    Refused(String),
    /// The fault could not be begun here.
    #[error("{fault} is not possible: {reason}", fault = .0.as_str(), reason = .1)]
    NotPossible(Fault, String),
    /// The fault was begun and could not be undone.
    #[error("the fault is not undone: {0}")]
    NotUndone(String),
    /// The load could not be started.
    #[error("the load cannot be started")]
    NoLoad(#[source] std::io::Error),
    /// Somebody interrupted it; what it did is undone.
    #[error("interrupted; what was done is undone")]
    Interrupted,
}

impl Drill {
    /// Carries out one fault and tells what came of it. `say` gets the lines that are for people.
    pub fn run(
        &self,
        fault: Fault,
        is_interrupted: &AtomicBool,
        say: &mut dyn FnMut(&str),
    ) -> Result<Report, DrillError> {
        let service = self.whole_service()?;
        let replica = self.chosen(&service)?;
        let victim = victim::find(&service, &replica, (&self.admin, self.is_forced))?;
        let status = self.probe()?;
        say(&format!("drill {}: {victim} of service '{}'", fault.as_str(), service.name));
        say(&format!("  will {}", fault.deed(&victim)));
        say(&format!(
            "  while {} GET {} a second go to http://{}",
            self.rate, self.path, self.target.address
        ));
        if status >= 400 {
            say(&format!(
                "  note: {} answers {status}; that is what counts as a good answer here, choose another path with --path",
                self.path
            ));
        }
        say(&format!("  objective: {}", self.objective.in_words(fault)));

        let replays = view::replays(&self.admin, &service.name);
        let load = self.load(status).start().map_err(DrillError::NoLoad)?;
        calm(&load, is_interrupted)?;
        let begun = (Instant::now(), SystemTime::now());
        let mut under_way = fault.begin(&victim).map_err(|reason| DrillError::NotPossible(fault, reason))?;
        say("  the fault has begun");
        let watch = watch::Watch {
            drill: self,
            fault,
            service: &service,
            life: victim.life,
            begun: begun.0,
            is_interrupted,
        };
        let watched = watch.follow(&mut under_way);
        under_way.undo().map_err(DrillError::NotUndone)?;
        let watched = watched?;
        say(match watched.whole_after {
            Some(_) => "  the fleet is whole again",
            None => "  the fleet is not whole again",
        });
        calm(&load, is_interrupted)?;
        load.stop();
        while !load.has_ended() {
            pause(is_interrupted)?;
        }
        let after = view::replays(&self.admin, &service.name);
        let repeated = replays.zip(after).map(|(before, after)| after.saturating_sub(before));
        let watched = self.with_events(watched, (&service, victim.life, begun.1));
        let tally = load.wait();
        let fault_at = begun.0.saturating_duration_since(tally.begun);
        Ok(Report::new((fault, &victim.name), (&tally, fault_at), (&watched, repeated), &self.objective))
    }

    fn whole_service(&self) -> Result<Service, DrillError> {
        let service = view::service(&self.admin, self.service.as_deref())?;
        let (ready, desired) = (service.ready, service.desired);
        let fault = match (service.is_whole(), ready >= 2) {
            (true, true) => return Ok(service),
            (false, _) => format!(
                "only {ready} of {desired} replicas are ready, so it would be unclear what the fault has done"
            ),
            (true, false) => format!("there are {desired} replicas, so nobody could stand in"),
        };
        match self.is_forced && ready >= 1 {
            true => Ok(service),
            false => Err(DrillError::Refused(format!(
                "service '{}': {fault}; --force does it all the same",
                service.name
            ))),
        }
    }

    fn chosen(&self, service: &Service) -> Result<view::Replica, DrillError> {
        let is_meant = |replica: &&view::Replica| match &self.replica {
            Some(name) => replica.name == *name,
            None => replica.state == "ready",
        };
        let found = service.replicas.iter().find(is_meant).cloned();
        let names: Vec<&str> = service.replicas.iter().map(|replica| replica.name.as_str()).collect();
        found.ok_or_else(|| {
            DrillError::Refused(format!("there is no such replica; there are: {}", names.join(", ")))
        })
    }

    /// One request, to see what a good answer looks like before anything is broken.
    fn probe(&self) -> Result<u16, DrillError> {
        let door = Door::Tcp(self.target.address);
        let reply = door
            .get_of(&self.target.host, &self.path, PROBE_MAX)
            .map_err(|error| DrillError::NoAnswer(Box::new(error)))?;
        match reply.status {
            500.. => Err(DrillError::Refused(format!(
                "http://{}{} answers {} without any fault; name the balancer's listener with --url and a path that works with --path",
                self.target.address, self.path, reply.status
            ))),
            status => Ok(status),
        }
    }

    fn load(&self, status: u16) -> Load {
        Load {
            target: self.target.clone(),
            plan: RequestPlan::get(&self.path),
            pace: Pace::Open { rate: self.rate, connections_max: CONNECTIONS_MAX },
            limits: Limits { requests: u64::MAX, duration: LOAD_MAX, answer: ANSWER_MAX },
            seed: 0,
            check: check::status(status),
        }
    }

    /// The balancer's own times are better than those of somebody who looks now and then.
    fn with_events(
        &self,
        watched: Watched,
        (service, life, begun_at): (&Service, (u32, u64), SystemTime),
    ) -> Watched {
        let Ok(events) = view::events(&self.admin) else { return watched };
        let of_life = events.iter().filter(|event| event.service == service.name && event.is_about(life));
        let after = |event: &view::Event| event.at()?.duration_since(begun_at).ok();
        let first = |wanted: Option<&str>| {
            let is_wanted = |event: &&view::Event| wanted.is_none_or(|wanted| event.event == wanted);
            of_life.clone().filter(is_wanted).find_map(after)
        };
        Watched {
            sign_after: first(None).or(watched.sign_after),
            out_after: first(Some("out of the table")).or(watched.out_after),
            ..watched
        }
    }
}

fn calm(load: &Running, is_interrupted: &AtomicBool) -> Result<(), DrillError> {
    let end = Instant::now() + CALM;
    while Instant::now() < end && !load.has_ended() {
        pause(is_interrupted)?;
    }
    Ok(())
}

/// A moment, at whose end it may turn out that somebody has interrupted.
fn pause(is_interrupted: &AtomicBool) -> Result<(), DrillError> {
    std::thread::sleep(LOOK_EVERY);
    if is_interrupted.load(Ordering::Relaxed) { Err(DrillError::Interrupted) } else { Ok(()) }
}

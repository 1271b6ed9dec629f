//! Drills: a bounded fault against a fleet that runs, under load, and what clients saw of it.
//!
//! It touches one replica of the balancer that it is told, from outside and on this host only. What it
//! does is announced before and undone afterwards, also when it is interrupted.

mod error;
mod report;
mod watch;

mod fault;
mod under_way;
mod victim;

mod engine;
mod processes;
mod sockets;

mod view;

pub use error::DrillError;
pub use fault::Fault;
pub use report::{Objective, Period, Report, Times};

use std::num::NonZeroU32;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use api::{ReplicaShape, ServiceShape};

use crate::check;
use crate::http::{self, AdminApi};
use crate::load::{Limits, Load, Pace, Running};
use crate::plan::{RequestPlan, Target};
use report::Facts;
use watch::{CALM, Watch, pause};

/// How long a request may take. A balancer may hold one back for some seconds rather than lose it.
const RESPONSE_MAX: Duration = Duration::from_secs(20);
/// The most connections of the load.
const CONNECTIONS_MAX: NonZeroU32 = NonZeroU32::new(4096).expect("it is not zero");
/// How long the load may run at all.
const LOAD_MAX: Duration = Duration::from_secs(3600);
/// How long the first request may take.
const PROBE_MAX: Duration = Duration::from_secs(20);

/// What is done to whom, and how much load there is meanwhile.
#[derive(Clone, Debug)]
pub struct Drill {
    /// The balancer's admin API.
    pub admin: AdminApi,
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
        let victim = victim::find(&service, &replica, &self.admin.address, self.is_forced)?;
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
        let watch = Watch {
            admin: &self.admin,
            length: self.length,
            recover_within: self.objective.recover_within,
            fault,
            service: &service,
            life: victim.life,
            begun: Instant::now(),
            begun_at: SystemTime::now(),
            is_interrupted,
        };
        let mut under_way = fault.begin(&victim).map_err(|reason| DrillError::NotPossible(fault, reason))?;
        say("  the fault has begun");
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
        let watched = watch.with_events(watched);
        let tally = load.wait();
        let fault_at = watch.begun.saturating_duration_since(tally.begun);
        let facts = Facts {
            fault,
            replica: &victim.name,
            tally: &tally,
            fault_at,
            watched: &watched,
            sent_again: repeated,
        };
        Ok(Report::new(&facts, &self.objective))
    }

    fn whole_service(&self) -> Result<ServiceShape, DrillError> {
        let service = view::service(&self.admin, self.service.as_deref())?;
        let (ready, desired) = (service.ready, service.desired);
        let fault = match (view::is_whole(&service), ready >= 2) {
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

    fn chosen(&self, service: &ServiceShape) -> Result<ReplicaShape, DrillError> {
        let is_meant = |replica: &&ReplicaShape| match &self.replica {
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
        let address = self.target.address.into();
        let reply = http::get_of(&address, &self.target.host, &self.path, PROBE_MAX)
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
            limits: Limits { requests: u64::MAX, duration: LOAD_MAX, response: RESPONSE_MAX },
            seed: 0,
            check: check::status(status),
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

//! `evenkeel drill`: from what was typed to what the lab does, and back to words and an exit code.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fleet::{harmless_json, in_full};
use lab::{AdminApi, Drill, DrillError, Fault, Objective, Report};

use crate::cli::{DrillOptions, FaultChoice};
use crate::signals::EndSignals;
use crate::{Outcome, Stopped, failed, say};

pub(crate) fn run(options: &DrillOptions) -> Outcome {
    let is_interrupted = interruption()?;
    let mut drill = drill(options)?;
    let is_json = options.target.json;
    let mut tell = |line: &str| match is_json {
        true => say::complain(line),
        false => say!("{line}"),
    };
    let faults: &[Fault] = match options.fault {
        FaultChoice::Kill => &[Fault::Kill],
        FaultChoice::Freeze => &[Fault::Freeze],
        FaultChoice::Slow => &[Fault::Slow],
        FaultChoice::Refuse => &[Fault::Refuse],
        FaultChoice::All => &Fault::ALL,
    };
    let mut reports = Vec::new();
    for fault in faults {
        drill.objective.recover_within = recover_within(options, *fault);
        match drill.run(*fault, &is_interrupted, &mut tell) {
            Ok(report) => {
                tell(&report.in_words());
                reports.push(report);
            }
            // Of all, those are done that can be done here.
            Err(error @ DrillError::NotPossible(..)) if faults.len() > 1 => {
                tell(&format!("  left out: {error}"));
            }
            Err(error) => return Err(failed(in_full(&error))),
        }
    }
    if is_json {
        say!("{}", harmless_json(&serde_json::to_string_pretty(&reports).map_err(failed)?));
    }
    verdict(&reports)
}

/// How long until all replicas must take traffic again.
fn recover_within(options: &DrillOptions, fault: Fault) -> Duration {
    const USUAL: Duration = Duration::from_secs(10);
    const AFTER_PROBATION: Duration = Duration::from_secs(30);
    let usual = if fault == Fault::Slow { AFTER_PROBATION } else { USUAL };
    options.recover_within.unwrap_or(usual)
}

fn verdict(reports: &[Report]) -> Outcome {
    let missed: Vec<&str> =
        reports.iter().filter(|report| !report.is_kept()).map(|report| report.fault.as_str()).collect();
    if missed.is_empty() {
        return Ok(());
    }
    Err(Stopped::Failed(format!("the objective was not kept: {}", missed.join(", "))))
}

fn drill(options: &DrillOptions) -> Result<Drill, Stopped> {
    let admin = config::admin_address(&options.target.admin)
        .map_err(|error| failed(format!("--admin {}: {error}", options.target.admin)))?;
    let host = options.host.clone().unwrap_or_else(|| options.url.to_string());
    let token = console::token(&options.target, &admin).map_err(failed)?;
    Ok(Drill {
        admin: AdminApi { address: admin, token },
        service: options.target.service.clone(),
        replica: options.replica.clone(),
        target: lab::Target { address: options.url, host },
        path: options.path.clone(),
        rate: options.rate,
        length: Duration::from_secs(options.seconds),
        objective: Objective {
            lost_max: options.max_lost,
            p99_max: options.max_p99,
            recover_within: recover_within(options, Fault::Kill),
        },
        is_forced: options.force,
    })
}

/// Turns true at the first INT or TERM; a second one ends the program at once.
pub(crate) fn interruption() -> Result<Arc<AtomicBool>, Stopped> {
    let is_interrupted = Arc::<AtomicBool>::default();
    let seen = Arc::clone(&is_interrupted);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let mut signals = {
        let _inside = runtime.enter();
        EndSignals::listen().map_err(failed)?
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            signals.next().await;
            seen.store(true, Ordering::Relaxed);
            say::complain("  interrupted: undoing what was done");
            signals.next().await;
            std::process::exit(Stopped::FAILED.into());
        });
    });
    Ok(is_interrupted)
}

//! `evenkeel lab`: from what was typed to experiments, and from what they found to words and files.

use std::sync::atomic::AtomicBool;

use fleet::in_full;
use lab::{ExperimentError, Order, OwnDriver, Paper, Section, Setting, Stage, Target, Whom};

use crate::cli::{DemoDriver, LabChoice, LabOptions};
use crate::{Outcome, Stopped, descriptors, drill, failed, say};

type Experiment = fn(&Order, &mut Stage<'_>) -> Result<Section, ExperimentError>;

pub(crate) fn run(options: &LabOptions) -> Outcome {
    let is_interrupted = drill::interruption()?;
    descriptors::raise_limit();
    let order = order(options)?;
    let experiments: &[Experiment] = match options.experiment {
        LabChoice::A1 => &[lab::a1],
        LabChoice::A2 => &[lab::a2],
        LabChoice::A3 => &[lab::a3],
        LabChoice::A4 => &[lab::a4],
        LabChoice::All => &[lab::a1, lab::a2, lab::a3, lab::a4],
    };
    let sections = carry_out(experiments, &order, &is_interrupted)?;
    let misses: usize = sections.iter().map(|section| section.misses.len()).sum();
    if let Some(folder) = &options.out {
        let paper = Paper { setting: setting(options), sections };
        let page = lab::write(&paper, folder).map_err(|error| failed(in_full(&error)))?;
        say!("written: {}", page.display());
    }
    match misses {
        0 => Ok(()),
        count => Err(Stopped::Failed(format!("{count} of the expectations did not come true"))),
    }
}

/// One after the other. What is done when one fails has been said by then.
fn carry_out(
    experiments: &[Experiment],
    order: &Order,
    is_interrupted: &AtomicBool,
) -> Result<Vec<Section>, Stopped> {
    let mut sections: Vec<Section> = Vec::new();
    for experiment in experiments {
        let mut stage = Stage { is_interrupted, say: &mut |line| say!("{line}") };
        match experiment(order, &mut stage) {
            Ok(section) => {
                tell(&section);
                sections.push(section);
            }
            Err(ExperimentError::Interrupted) => {
                let done: Vec<&str> = sections.iter().map(|section| section.id.as_str()).collect();
                let done = if done.is_empty() { "nothing".to_owned() } else { done.join(", ") };
                let text = format!("interrupted; done so far: {done}; nothing was written, nothing is left");
                return Err(failed(text));
            }
            Err(error) => return Err(failed(in_full(&error))),
        }
    }
    Ok(sections)
}

fn tell(section: &Section) {
    say!("{}", section.title);
    section.text.iter().for_each(|sentence| say!("  {sentence}"));
    section.misses.iter().for_each(|miss| say!("  NOT as expected: {miss}"));
}

fn order(options: &LabOptions) -> Result<Order, Stopped> {
    let whom = match options.target {
        Some(address) => Whom::Running(Target::new(address)),
        None => Whom::Own(std::env::current_exe().map_err(failed)?, driver(options)),
    };
    Ok(Order {
        whom,
        requests: options.requests,
        concurrency: options.concurrency,
        replicas: options.replicas,
        seed: options.seed,
    })
}

fn driver(options: &LabOptions) -> OwnDriver {
    match options.driver {
        None | Some(DemoDriver::Process) => OwnDriver::Process,
        Some(DemoDriver::Docker) => OwnDriver::Docker,
    }
}

fn setting(options: &LabOptions) -> Setting {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let subject = match (options.target, driver(options)) {
        (Some(address), _) => format!("http://{address}, as it ran"),
        (None, OwnDriver::Process) => "Evenkeel, replicas as child processes".into(),
        (None, OwnDriver::Docker) => "Evenkeel, replicas as containers".into(),
    };
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or_else(|| "unknown".into(), |(_, value)| value.trim().to_owned())
    };
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZeroUsize::get);
    let processor = field(&read("/proc/cpuinfo"), "model name");
    let facts = [
        ("measured at", humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string()),
        ("subject", subject),
        ("version", format!("evenkeel {}", env!("CARGO_PKG_VERSION"))),
        ("processor", format!("{cpus} × {processor}")),
        ("memory", field(&read("/proc/meminfo"), "MemTotal")),
        ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("clients at a time", options.concurrency.to_string()),
        ("requests of each measurement", options.requests.to_string()),
    ];
    Setting {
        command: format!("evenkeel {}", arguments.join(" ")),
        seed: options.seed,
        facts: facts.map(|(name, value)| (name.to_owned(), value)).into(),
    }
}

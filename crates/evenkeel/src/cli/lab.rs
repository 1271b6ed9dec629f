//! What can be typed after `evenkeel lab`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::drill;
use super::up::DemoDriver;

pub(super) const LAB_EXAMPLES: &str = "\
Try it:
  evenkeel lab a1                                    10 000 requests on three replicas, counted
  evenkeel lab all --out report                      everything, drawn: report/report.html
  evenkeel lab all --driver docker --out report      the same with containers; takes the image evenkeel-replica
  evenkeel lab a2 --target http://127.0.0.1:5000     any balancer that speaks the contract; its replicas are
                                                     added and removed

  a1  requests on three replicas, by who answered, beside what the placement promises
  a2  two to six replicas: mean load, its deviation, and what fails while replicas come and go
  a3  every endpoint, good and bad calls; then a replica is killed under load
  a4  a1 and a2 for every way of placing, with a hot key and a bound on the load

Exit codes: 0 everything was as expected, 1 something was not or could not be measured, 2 wrong usage.";

#[derive(Debug, Args)]
pub(crate) struct LabOptions {
    /// What to measure.
    #[arg(value_enum)]
    pub(crate) experiment: LabChoice,
    /// Write the report, its pictures and its data into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// A balancer that runs, instead of ones that are started.
    #[arg(long, value_name = "URL", value_parser = drill::url, conflicts_with = "driver")]
    pub(crate) target: Option<SocketAddr>,
    /// How the replicas of started balancers run [default: process].
    #[arg(long)]
    pub(crate) driver: Option<DemoDriver>,
    /// How many requests each measurement has.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) requests: u64,
    /// How many clients ask at a time, each waiting for its answer.
    #[arg(long, default_value = "100", value_name = "N")]
    pub(crate) concurrency: NonZeroU32,
    /// The smallest and the largest number of replicas of a2 and a4.
    #[arg(long, default_value = "2..6", value_name = "MIN..MAX", value_parser = range)]
    pub(crate) replicas: (usize, usize),
    /// What the keys of requests are drawn from.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LabChoice {
    /// Requests on three replicas.
    A1,
    /// Two to six replicas.
    A2,
    /// Every endpoint, and the death of a replica.
    A3,
    /// Every way of placing.
    A4,
    /// All of them.
    All,
}

/// The most replicas that are started.
const REPLICAS_MAX: usize = 50;

fn range(text: &str) -> Result<(usize, usize), String> {
    let form = || format!("write it as 2..6, between 1 and {REPLICAS_MAX}");
    let (least, most) = text.split_once("..").ok_or_else(form)?;
    let (least, most) = (least.parse().map_err(|_| form())?, most.parse().map_err(|_| form())?);
    if (1..=most).contains(&least) && most <= REPLICAS_MAX { Ok((least, most)) } else { Err(form()) }
}

//! What can be typed after `evenkeel drill`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Args, ValueEnum};
use console::Target;

pub(super) const DRILL_EXAMPLES: &str = "\
Try it, with `evenkeel up` in another terminal:
  evenkeel drill kill --path /home
  evenkeel drill freeze --path /home --replica server_2
  evenkeel drill all --path /home --json > drill.json
  evenkeel drill kill --path /home --max-p99 100ms --recover-within 2s      as a step of a CI run

Run it on the balancer's host: replicas are found by where they listen, or by their container. `refuse` takes
root and iptables. A replica that the balancer did not start is only touched with --force.
Exit codes: 0 the objective was kept, 1 it was not or the drill was not possible, 2 wrong usage.";

#[derive(Debug, Args)]
pub(crate) struct DrillOptions {
    /// What to do.
    #[arg(value_enum)]
    pub(crate) fault: FaultChoice,
    /// Where clients of the balancer connect.
    #[arg(long, default_value = "http://127.0.0.1:5000", value_name = "URL", value_parser = url)]
    pub(crate) url: SocketAddr,
    /// The Host that the load asks for [default: the address].
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// The path that the load asks for.
    #[arg(long, default_value = "/", value_name = "PATH", value_parser = path)]
    pub(crate) path: String,
    /// How many requests a second.
    #[arg(long, default_value = "200", value_name = "N")]
    pub(crate) rate: NonZeroU32,
    /// The replica to break [default: the first one].
    #[arg(long, value_name = "NAME")]
    pub(crate) replica: Option<String>,
    /// How long to freeze, slow or refuse; 1–600.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// The most requests that may be lost.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) max_lost: u64,
    /// The longest that 99 of 100 requests may take while the fault shows.
    #[arg(long, default_value = "2s", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) max_p99: Duration,
    /// The longest until all replicas take traffic again [default: 10s; 30s for slow, because who was slow
    /// gets no requests for 10 s].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) recover_within: Option<Duration>,
    /// Go on where it would refuse: replicas are missing, or nobody might start this one again.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FaultChoice {
    /// End it at once: SIGKILL, or `docker kill`.
    Kill,
    /// Let it do nothing more for a while: SIGSTOP, or `docker pause`.
    Freeze,
    /// Give it a tenth of its speed for a while.
    Slow,
    /// Refuse its port for a while, by a rule of iptables; takes root.
    Refuse,
    /// One after the other.
    All,
}

/// An address, with `http://` in front of it or without. The load speaks no TLS.
pub(super) fn url(text: &str) -> Result<SocketAddr, String> {
    let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    address
        .parse()
        .map_err(|_| "write it as http://ADDRESS:PORT, without a path; the load speaks no TLS".into())
}

fn path(text: &str) -> Result<String, String> {
    let is_one = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_one { Ok(text.to_owned()) } else { Err("a path begins with a slash and has no blanks".into()) }
}

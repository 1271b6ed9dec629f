//! The command line: what can be typed, and what its help teaches.

mod down;
mod drill;
mod lab;
mod place;
mod up;

#[cfg(test)]
mod documented;

pub(crate) use down::DownOptions;
pub(crate) use drill::{DrillOptions, FaultChoice};
pub(crate) use lab::{LabChoice, LabOptions};
pub(crate) use place::{Algorithm, MemberWord, PlaceOptions, PlacementOptions, SAMPLES, SimulateOptions};
pub(crate) use up::{DemoDriver, UpOptions};

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use fleet::Address;

/// An HTTP load balancer that owns its replicas: it starts them, watches their heartbeats, routes
/// to them by consistent hashing, replaces the dead, and loses no request while doing so.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Try it:
  evenkeel up                              three demo replicas behind http://127.0.0.1:5000
  curl http://127.0.0.1:5000/home          served by one of them
  evenkeel ps                              who they are and how they are
  evenkeel add -n 2                        two more
  kill -9 $(pgrep -f 'evenkeel replica' | head -1)   one is replaced, nobody notices
  evenkeel place --replicas 1,2,3 --keys alice,bob         who serves which key
  evenkeel drill kill --path /home         kill one under load, and see what clients saw
  evenkeel down                            the end, of what stays beyond `up` as well

Exit codes: 0 fine, 1 failed, 2 wrong usage, 78 bad configuration.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the balancer and its replicas.
    ///
    /// Without --config: three bundled demo replicas as child processes, with the endpoints /rep,
    /// /add and /rm on the listener. A flag beats its environment variable, that beats the file,
    /// and the file beats the default.
    Up(UpOptions),
    /// End a balancer and everything that it owns, for good.
    ///
    /// A balancer of this configuration that runs is asked to end: requests under way finish, and then what it
    /// would have kept ends, too. Where none runs, what one has left is found and ended. What should run
    /// stays stored. Where nothing runs, that is said, with exit code 0.
    #[command(after_help = down::DOWN_EXAMPLES)]
    Down(DownOptions),
    /// Run the bundled demo replica: GET /home and GET /heartbeat.
    Replica {
        /// Where to listen: an address, or unix:/path [default: 127.0.0.1:$PORT, or 127.0.0.1:5000]. SERVER_ID in
        /// the environment is what it calls itself.
        #[arg(long, value_name = "ADDR")]
        listen: Option<Address>,
    },
    /// Check a configuration file, and the certificates that it names: says what is wrong, where, and
    /// what may have been meant.
    Validate {
        /// The file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    #[command(flatten)]
    Running(console::Command),
    /// Say which replica serves which key, without a running balancer.
    ///
    /// Every replica that is not the first choice stands behind it in the order in which it would
    /// stand in.
    #[command(after_help = place::PLACE_EXAMPLES)]
    Place(PlaceOptions),
    /// Say which keys a change of replicas would move, without a running balancer.
    ///
    /// Removals are done first, then additions, then weights. Unavoidable is what had to move for
    /// the replicas to have as many keys as they have in the end; the rest moved for nothing.
    #[command(after_help = place::SIMULATE_EXAMPLES)]
    Simulate(SimulateOptions),
    /// Break one replica of a running balancer on purpose, and say what clients saw of it.
    ///
    /// A steady load goes through the balancer while the fault is there. Whatever is done is said
    /// before, and undone at the end and on Ctrl-C.
    #[command(after_help = drill::DRILL_EXAMPLES)]
    Drill(DrillOptions),
    /// Measure a balancer as the original system was measured: experiments.
    ///
    /// Without --target, balancers are started on free ports and ended again.
    #[command(after_help = lab::LAB_EXAMPLES)]
    Lab(LabOptions),
    /// Run a command that is killed when its parent ends.
    #[command(hide = true)]
    Tether(TetherOptions),
    /// Run a replica that may outlive the balancer; the order comes on standard input.
    #[command(hide = true)]
    Keep {
        /// How many descriptors the replica may open.
        #[arg(long)]
        descriptors: Option<u64>,
    },
}

/// What stands in front of the command of a replica.
#[derive(Debug, Args)]
pub(crate) struct TetherOptions {
    /// Let the command get more rights than it has, as by a setuid program.
    #[arg(long)]
    pub(crate) new_privileges: bool,
    /// How many descriptors it may open.
    #[arg(long)]
    pub(crate) descriptors: Option<u64>,
    /// The parent's process id.
    pub(crate) parent: u32,
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub(crate) command: Vec<String>,
}

//! The command line: what can be typed, and what its help teaches.

mod drill;
mod lab;
mod place;

pub(crate) use drill::{DrillOptions, FaultChoice};
pub(crate) use lab::{LabChoice, LabOptions};
pub(crate) use place::{Algorithm, MemberWord, PlaceOptions, PlacementOptions, SAMPLES, SimulateOptions};

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
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

Exit codes: 0 fine, 1 failed, 2 wrong usage, 78 bad configuration.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the balancer and its replicas.
    ///
    /// Without --config: three bundled demo replicas as child processes, with the endpoints /rep,
    /// /add and /rm on the listener. A flag beats its environment variable, that beats the file,
    /// and the file beats the default.
    Up(UpOptions),
    /// Run the bundled demo replica: GET /home and GET /heartbeat.
    Replica {
        /// Where to listen: an address, or unix:/path. SERVER_ID in the environment is what it calls
        /// itself.
        #[arg(long, default_value = "127.0.0.1:5000", value_name = "ADDR")]
        listen: Address,
    },
    /// Check a configuration file, and the certificates that it names: says what is wrong, where, and
    /// what may have been meant.
    Validate {
        /// The file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Show the services of a running balancer.
    Status(Target),
    /// Show the replicas of a running balancer, the ones on their way in and out too.
    Ps {
        /// Show too what was last written by replicas that keep failing, and when the next try is.
        #[arg(long, short)]
        verbose: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Show what happened to the replicas of a running balancer lately: the last 1000 events.
    Events(Target),
    /// Add replicas; returns when they take traffic. If one does not come up, none is added.
    Add(EditOptions),
    /// Remove replicas; returns when they get no new requests. They finish what they have.
    Rm(EditOptions),
    /// Add or remove replicas until there are so many.
    Scale {
        /// How many there shall be.
        replicas: u32,
        #[command(flatten)]
        target: Target,
    },
    /// Roll out what the configuration file says now: image, command, env and the like.
    ///
    /// The balancer reads its file anew and replaces seat by seat: a new replica is started beside the
    /// old one, gets its place when it has stayed well for a while, and only then the old one is
    /// drained. If new ones do no good, all goes back by itself, and this command fails with the reason.
    Deploy {
        /// Replace replicas too that run what the file says.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Hold requests back: new ones wait until `resume`, or until the time is over. Those under way go on.
    Pause {
        /// For how long at most, up to 10m [default: 30s].
        #[arg(long = "for", value_name = "DURATION")]
        length: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Let requests through that `pause` holds back.
    Resume(Target),
    /// Say which replica a request would get, who would be next, and why any are passed over.
    Explain(ExplainOptions),
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
    Tether {
        /// The parent's process id.
        parent: u32,
        /// The command and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// Run a replica that may outlive the balancer; the order comes on standard input.
    #[command(hide = true)]
    Keep,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct UpOptions {
    /// The configuration file; see `evenkeel validate`.
    #[arg(long, env = "EVENKEEL_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where clients connect [default: 127.0.0.1:5000].
    #[arg(long, env = "EVENKEEL_LISTEN", value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where the admin API listens: an address, or unix:/path [default: 127.0.0.1:5001].
    #[arg(long, env = "EVENKEEL_ADMIN", value_name = "ADDR")]
    pub(crate) admin: Option<String>,
    /// How many replicas the first service begins with [default: 3].
    #[arg(long, short = 'n', env = "EVENKEEL_REPLICAS", value_name = "N")]
    pub(crate) replicas: Option<u32>,
    /// How the demo replicas run; only without a configuration file [default: process].
    #[arg(long, conflicts_with = "config")]
    pub(crate) driver: Option<DemoDriver>,
    /// Write log lines as JSON.
    #[arg(long, env = "EVENKEEL_LOG_JSON", value_parser = BoolishValueParser::new())]
    pub(crate) log_json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DemoDriver {
    /// As child processes.
    Process,
    /// As containers of the image evenkeel-replica; `make image` builds it.
    Docker,
}

/// Which balancer and service a command speaks to.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The admin API of the balancer: host:port, or unix:/path.
    #[arg(long, env = "EVENKEEL_ADMIN", default_value = "127.0.0.1:5001", value_name = "ADDR")]
    pub(crate) admin: String,
    /// The service; not needed where there is only one.
    #[arg(long, short, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// Print JSON for programs instead of text for people.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainOptions {
    /// Path and query of the request [default: /].
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<String>,
    /// A header; may be repeated.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) headers: Vec<(String, String)>,
    /// A cookie; may be repeated.
    #[arg(long = "cookie", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) cookies: Vec<(String, String)>,
    /// The client's address [default: 127.0.0.1].
    #[arg(long, value_name = "IP")]
    pub(crate) client_ip: Option<IpAddr>,
    #[command(flatten)]
    pub(crate) target: Target,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Debug, Args)]
pub(crate) struct EditOptions {
    /// Names: of the replicas to remove, or for the first ones that are added.
    pub(crate) names: Vec<String>,
    /// How many [default: as many as there are names, or 1].
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: Option<u32>,
    #[command(flatten)]
    pub(crate) target: Target,
}

//! What can be typed to speak to a running balancer.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

/// A command to a running balancer.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the services of a running balancer; exit code 1 if one of them serves nobody.
    Status {
        /// Wait until every replica takes traffic, for a balancer that is just being started too; exit code 1
        /// if that is not so in time.
        #[arg(long)]
        wait: bool,
        /// How long to wait.
        #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
        timeout: Duration,
        /// Which balancer and service.
        #[command(flatten)]
        target: Target,
    },
    /// Show the replicas of a running balancer, the ones on their way in and out too.
    Ps {
        /// Show too how old each is, what it runs as, how many requests are inside and what it runs; what was
        /// last written by those that keep failing, and when the next try is.
        #[arg(long, short)]
        verbose: bool,
        /// By what they are sorted.
        #[arg(long, value_enum, value_name = "COLUMN")]
        sort: Option<Column>,
        /// Which balancer and service.
        #[command(flatten)]
        target: Target,
    },
    /// Show what happened to the replicas of a running balancer lately: the last 1000 events.
    Events {
        /// Go on with what happens, until interrupted.
        #[arg(long, short)]
        follow: bool,
        /// Only of the replica with this name.
        #[arg(long, value_name = "NAME")]
        replica: Option<String>,
        /// Which balancer and service.
        #[command(flatten)]
        target: Target,
    },
    /// Show the last lines that a replica wrote, and how the last one ended that died in its seat.
    ///
    /// NAME may be one that has died lately, too. Following ends with the replica and says how it ended; who
    /// has its seat then is another replica, with another name.
    Logs {
        /// The replica.
        name: String,
        /// Go on with what it writes, until it ends or this is interrupted.
        #[arg(long, short)]
        follow: bool,
        /// Which balancer and service.
        #[command(flatten)]
        target: Target,
    },
    /// Add replicas; returns when they take traffic. If one does not come up, none is added.
    Add(EditOptions),
    /// Remove replicas; returns when they get no new requests. They finish what they have.
    Rm(EditOptions),
    /// Add or remove replicas until there are so many.
    Scale {
        /// How many there shall be.
        replicas: u32,
        /// Which balancer and service.
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
        /// Which balancer and service.
        #[command(flatten)]
        target: Target,
    },
    /// Hold requests back: new ones wait until `resume`, or until the time is over. Those under way go on.
    Pause {
        /// For how long at most, up to 10m [default: 30s].
        #[arg(long = "for", value_name = "DURATION")]
        length: Option<String>,
        /// Which balancer and service.
        #[command(flatten)]
        target: Target,
    },
    /// Let requests through that `pause` holds back.
    Resume(Target),
    /// Say which replica a request would get, who would be next, and why any are passed over.
    Explain(ExplainOptions),
}

impl Command {
    /// Which balancer and service it is for.
    pub fn target(&self) -> &Target {
        match self {
            Self::Resume(target) => target,
            Self::Status { target, .. }
            | Self::Events { target, .. }
            | Self::Ps { target, .. }
            | Self::Logs { target, .. }
            | Self::Scale { target, .. }
            | Self::Deploy { target, .. }
            | Self::Pause { target, .. } => target,
            Self::Add(edit) | Self::Rm(edit) => &edit.target,
            Self::Explain(options) => &options.target,
        }
    }
}

/// A column of `ps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Column {
    /// The seat.
    Seat,
    /// The name.
    Name,
    /// How it is.
    State,
    /// How old it is, the youngest first.
    Age,
    /// How many requests are inside, the most first.
    Inside,
    /// What it runs.
    Release,
}

/// Which balancer and service a command speaks to.
#[derive(Debug, Args)]
pub struct Target {
    /// The admin API of the balancer: host:port, or unix:/path.
    #[arg(long, env = "EVENKEEL_ADMIN", default_value = "127.0.0.1:5001", value_name = "ADDR")]
    pub admin: String,
    /// The file with the token of that admin API [default: the one of this account].
    ///
    /// On TCP the admin API asks for a token. The balancer makes one at its first start and says where
    /// it is; commands of the same account find it. EVENKEEL_TOKEN may hold the token itself.
    #[arg(long, env = "EVENKEEL_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The service; not needed where there is only one.
    #[arg(long, short, value_name = "NAME")]
    pub service: Option<String>,
    /// Print JSON for programs instead of text for people.
    #[arg(long)]
    pub json: bool,
}

/// A request whose way is asked for.
#[derive(Debug, Args)]
pub struct ExplainOptions {
    /// Path and query of the request [default: /].
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// A header; may be repeated.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    pub headers: Vec<(String, String)>,
    /// A cookie; may be repeated.
    #[arg(long = "cookie", value_name = "NAME=VALUE", value_parser = pair)]
    pub cookies: Vec<(String, String)>,
    /// The client's address [default: 127.0.0.1].
    #[arg(long, value_name = "IP")]
    pub client_ip: Option<IpAddr>,
    /// The name of the listener that it comes in by [default: the one without a name].
    #[arg(long, value_name = "NAME")]
    pub listener: Option<String>,
    /// Which balancer and service.
    #[command(flatten)]
    pub target: Target,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Replicas that shall come or go.
#[derive(Debug, Args)]
pub struct EditOptions {
    /// Names: of the replicas to remove, or for the first ones that are added.
    pub names: Vec<String>,
    /// How many [default: as many as there are names, or 1].
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// Which balancer and service.
    #[command(flatten)]
    pub target: Target,
}

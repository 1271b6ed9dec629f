//! What can be typed after `evenkeel up`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

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
    /// The file with the token of the admin API; made if it is not there [default: admin.token in the
    /// account's state folder].
    #[arg(long, env = "EVENKEEL_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// How many replicas the first service begins with [default: 3].
    #[arg(long, short = 'n', env = "EVENKEEL_REPLICAS", value_name = "N")]
    pub(crate) replicas: Option<u32>,
    /// How the demo replicas run; only without a configuration file [default: process].
    #[arg(long, conflicts_with = "config")]
    pub(crate) driver: Option<DemoDriver>,
    /// Let clients in only when every replica takes traffic, and end with 1 if some cannot be started.
    /// Otherwise what can be started is served at once, and the rest is tried on.
    #[arg(long)]
    pub(crate) wait: bool,
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

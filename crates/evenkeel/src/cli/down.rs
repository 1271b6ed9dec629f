//! What can be typed after `evenkeel down`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::UpOptions;

pub(super) const DOWN_EXAMPLES: &str = "\
Whose replicas are meant is said as at the start: by `owner` or `state_dir` of the file, or else by the address that clients
connect to. So give it what `up` was given:

  evenkeel up --config shop.toml      evenkeel down --config shop.toml
  evenkeel up --driver docker         evenkeel down
  evenkeel up --listen 127.0.0.1:80   evenkeel down --listen 127.0.0.1:80

A balancer that somebody else starts again (systemd, a container with a restart policy) is ended there, and then this ends what
it has left: `systemctl disable --now evenkeel && evenkeel down --config /etc/evenkeel/evenkeel.toml`.

Exit codes: 0 nothing is left, 1 something is, 78 bad configuration.";

#[derive(Clone, Debug, Args)]
pub(crate) struct DownOptions {
    /// The configuration file that the balancer was started with.
    #[arg(long, env = "EVENKEEL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where its clients connect, if that was said at its start [default: 127.0.0.1:5000].
    #[arg(long, env = "EVENKEEL_LISTEN", value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

impl DownOptions {
    /// The start that is meant, as far as it matters here.
    pub(crate) fn of_the_start(&self) -> UpOptions {
        UpOptions {
            config: self.config.clone(),
            listen: self.listen,
            admin: None,
            token_file: None,
            replicas: None,
            driver: None,
            wait: false,
            log_json: false,
        }
    }
}

//! A balancer of our own, started on free ports for an experiment, and ended with it.
//!
//! Its process is started through the tether, so that it ends even if this one is killed.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Subject, SubjectError};
use crate::http::AdminApi;
use crate::plan::Target;
use crate::variant::Variant;

/// How long it may take until it listens. Containers take their time.
const START_MAX: Duration = Duration::from_secs(60);
/// How long it may take to end by itself.
const END_MAX: Duration = Duration::from_secs(45);
/// How many of its last lines are shown when it does not start.
const LINES_SHOWN: usize = 12;

/// How its replicas run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnDriver {
    /// As child processes.
    Process,
    /// As containers of the demo image.
    Docker,
}

/// What is started.
#[derive(Clone, Debug)]
pub struct OwnPlan {
    /// The program.
    pub program: PathBuf,
    /// How its replicas run.
    pub driver: OwnDriver,
    /// How many it begins with.
    pub replicas: usize,
    /// How it places.
    pub variant: Variant,
    /// More keys of its service.
    pub more: String,
}

/// A balancer that we have started. Dropping it ends it, and its replicas.
#[derive(Debug)]
pub struct Own {
    child: Child,
    _folder: TempDir,
}

impl OwnPlan {
    fn config(&self, folder: &Path) -> String {
        let Self { replicas, variant, more, .. } = self;
        let (top, driver) = match self.driver {
            OwnDriver::Process => (String::new(), "driver = \"process\"\n".to_owned()),
            OwnDriver::Docker => {
                let owner = format!("evenkeel-lab-{}-{:08x}", std::process::id(), fastrand::u32(..));
                let driver = String::from(
                    "driver = \"docker\"\nimage = \"evenkeel-replica\"\non_exit = \"stop\"\nstop_timeout = \"1s\"\n",
                );
                (format!("owner = \"{owner}\"\nstate_dir = {:?}\n", folder.join("state")), driver)
            }
        };
        let placing = variant.config();
        format!(
            "contract = true\n{top}\n[[service]]\nname = \"lab\"\nreplicas = {replicas}\n{driver}{placing}{more}"
        )
    }

    /// Starts it and waits until it listens.
    pub fn start(&self) -> Result<Subject, SubjectError> {
        let failed = |error: std::io::Error| SubjectError::NotStarted(error.to_string());
        let folder = TempDir::new().map_err(failed)?;
        let file = folder.path().join("evenkeel.toml");
        std::fs::write(&file, self.config(folder.path())).map_err(failed)?;
        let mut command = Command::new(&self.program);
        command.args(["tether", &std::process::id().to_string()]).arg(&self.program);
        command.args(["up", "--wait", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--config"]).arg(&file);
        let token_file = folder.path().join("admin.token");
        command.arg("--token-file").arg(&token_file);
        // Ctrl-C is for us; it gets a session of its own, and we end it in its own time.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let lines = lines_of(&mut child);
        let own = Own { child, _folder: folder };
        let (address, admin) = listening(&lines)?;
        // Whoever drops the lines would stop those who read them, and the balancer's words would block it.
        std::thread::spawn(move || lines.iter().for_each(drop));
        let token = std::fs::read_to_string(&token_file).map_err(failed)?;
        let admin = AdminApi { address: admin.into(), token: Some(token.trim().to_owned()) };
        Ok(Subject { target: Target::new(address), admin: Some(admin), own: Some(own), had: None })
    }
}

fn lines_of(child: &mut Child) -> Receiver<String> {
    let (sender, lines) = channel();
    let stdout = child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>);
    let stderr = child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>);
    for stream in [stdout, stderr].into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
    }
    lines
}

/// Where clients and the admin API are, as the balancer says when it is up.
fn listening(lines: &Receiver<String>) -> Result<(SocketAddr, SocketAddr), SubjectError> {
    let end = Instant::now() + START_MAX;
    let mut last = VecDeque::new();
    let mut admin = None;
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                admin = admin.or_else(|| address_in(&line, "admin on http://"));
                if let (Some(address), Some(admin)) = (address_in(&line, "listening on http://"), admin) {
                    return Ok((address, admin));
                }
                last.push_back(line);
                if last.len() > LINES_SHOWN {
                    last.pop_front();
                }
            }
            Err(reason) => {
                let said: Vec<String> = last.into();
                let how = match reason {
                    RecvTimeoutError::Timeout => format!("it does not listen after {START_MAX:?}"),
                    RecvTimeoutError::Disconnected => "it ended".into(),
                };
                return Err(SubjectError::NotStarted(format!("{how}, and said:\n{}", said.join("\n"))));
            }
        }
    }
}

fn address_in(line: &str, before: &str) -> Option<SocketAddr> {
    line.split_once(before)?.1.split([' ', ',']).next()?.parse().ok()
}

impl Own {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn has_ended_within(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It ends its replicas, containers too, and then itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        if !self.has_ended_within(END_MAX) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_balancers_words_say_where_it_is() {
        let (sender, lines) = channel();
        for line in [
            "evenkeel 0.1.0",
            "  admin on http://127.0.0.1:5001",
            "  listening on http://127.0.0.1:5000 (with /rep), 2 workers",
        ] {
            sender.send(line.to_owned()).unwrap();
        }
        let found = listening(&lines).unwrap();
        assert_eq!((found.0.port(), found.1.port()), (5000, 5001));
        drop(sender);
        let error = listening(&lines).unwrap_err().to_string();
        assert!(error.contains("it ended"), "{error}");
    }
}

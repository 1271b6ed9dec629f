//! What a process is beyond its number, and what runs in its session.
//!
//! Numbers are used again; a number together with the time of its start and the boot that it was
//! in is not. What is to be signalled is held first and looked at then, so that a signal never
//! reaches somebody else.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The variable by which a process that may outlive its balancer, and all that it starts, can be
/// told from every other.
pub(super) const TOKEN: &str = "EVENKEEL_LIFE";

/// How long what was killed may take to be gone, and how often that is looked at.
const GONE_WAIT: Duration = Duration::from_secs(5);
const GONE_LOOK_EVERY: Duration = Duration::from_millis(5);

/// Where in `/proc/PID/stat`, counted from behind the program's name, something stands.
const STATE: usize = 0;
const SESSION: usize = 3;
const STARTED_AT: usize = 19;

/// One process, told apart from all that ever had or will have its number here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pid: i32,
    /// In clock ticks since the machine was started; no change of the wall clock moves it.
    started_at: u64,
    /// Which start of the machine that was.
    boot: String,
}

impl Identity {
    /// What identifies this process.
    pub(super) fn own() -> io::Result<Self> {
        let pid = rustix::process::getpid();
        let stat = Stat::of(pid).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { pid: pid.as_raw_nonzero().get(), started_at: stat.started_at, boot: boot()? })
    }

    /// Takes hold of the process, if it still lives.
    pub(super) fn hold(&self) -> Option<Hold> {
        // A record may be damaged, and no process has a number below one.
        let pid = Pid::from_raw(self.pid.max(0))?;
        let hold = Hold::of(pid)?;
        // First the hold, then the look, then whether it still lives: in this order the number
        // cannot have passed to somebody else in between.
        let is_same = Stat::of(pid).is_some_and(|stat| stat.started_at == self.started_at)
            && boot().is_ok_and(|boot| boot == self.boot);
        (is_same && !hold.has_ended()).then_some(hold)
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }
}

fn boot() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned())
}

/// A hold on one process. It cannot come to mean another one when the number is used again.
#[derive(Debug)]
pub(super) struct Hold {
    pid: Pid,
    process: AsyncFd<OwnedFd>,
}

impl Hold {
    /// Takes hold of the process that has this number now; a child that was not yet waited for has it.
    pub(super) fn of(pid: Pid) -> Option<Self> {
        let process = pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?;
        Some(Self { pid, process: register(process).ok()? })
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Returns when the process has ended.
    pub(super) async fn ended(&self) {
        // An error would mean that the kernel no longer tells; then looking is all that is left.
        if self.process.readable().await.is_err() {
            while !self.has_ended() {
                tokio::time::sleep(GONE_LOOK_EVERY).await;
            }
        }
    }

    /// Sends a signal; one that is gone needs none.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(self.process.get_ref(), signal);
    }

    /// Whether the process itself, or a child of its, is stopped by a signal.
    pub(super) fn is_stopped(&self) -> bool {
        let pid = self.pid;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|child| Pid::from_raw(child.parse().ok()?));
        std::iter::once(pid).chain(children).any(|pid| Stat::of(pid).is_some_and(|stat| stat.is_stopped()))
    }

    fn has_ended(&self) -> bool {
        let mut holds = [PollFd::new(self.process.get_ref(), PollFlags::IN)];
        !matches!(poll(&mut holds, Some(&Timespec::default())), Ok(0))
    }
}

// Tokio deprecates its safe registration because a type's descriptor might change while it is
// registered; that of an `OwnedFd` cannot. The successor is an unsafe function, and we have none.
#[expect(deprecated, reason = "an OwnedFd keeps its descriptor, and the successor is unsafe")]
fn register(process: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(process, Interest::READABLE)
}

/// What the kernel says of a process in one line.
pub(super) struct Stat {
    state: char,
    session: i32,
    started_at: u64,
}

impl Stat {
    pub(super) fn of(pid: Pid) -> Option<Self> {
        Self::read(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn read(line: &str) -> Option<Self> {
        // The program's name, in parentheses, may hold anything, closing ones too.
        let (_, after_name) = line.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        Some(Self {
            state: fields.get(STATE)?.chars().next()?,
            session: fields.get(SESSION)?.parse().ok()?,
            started_at: fields.get(STARTED_AT)?.parse().ok()?,
        })
    }

    /// Whether it is stopped by a signal or by a tracer.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }

    fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

/// What is left of lives that are over, by the token that each of their processes carries.
#[derive(Clone, Debug)]
pub(super) struct Leftovers {
    /// How their tokens begin.
    pub(super) token: String,
    /// Whose tokens begin so too, but which are alive and well.
    pub(super) spared: Vec<String>,
    /// The session that they must be in, if it is known.
    pub(super) session: Option<i32>,
}

impl Leftovers {
    /// Kills them all and waits until none is left; says how many were killed. Who has a session
    /// of its own has left the replica on purpose, and is nobody's leftover.
    pub(super) async fn end(self) -> Result<usize, usize> {
        let begun = tokio::time::Instant::now();
        let mut killed = std::collections::BTreeSet::new();
        loop {
            let leftovers = self.clone();
            // There may be many processes to look at, and this thread has replicas to look after.
            let found = tokio::task::spawn_blocking(move || leftovers.kill()).await.unwrap_or_default();
            if found.is_empty() {
                return Ok(killed.len());
            }
            let count = found.len();
            killed.extend(found);
            if begun.elapsed() > GONE_WAIT {
                return Err(count);
            }
            tokio::time::sleep(GONE_LOOK_EVERY).await;
        }
    }

    fn kill(&self) -> Vec<i32> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| Pid::from_raw(name.parse().ok()?)) else {
                continue;
            };
            if pid == rustix::process::getpid() || !self.is_meant(pid) {
                continue;
            }
            let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            // It is held now; whether it is still the same is seen by looking again.
            if self.is_meant(pid) {
                let _ = pidfd_send_signal(&process, Signal::KILL);
                found.push(pid.as_raw_nonzero().get());
            }
        }
        found
    }

    fn is_meant(&self, pid: Pid) -> bool {
        let Some(stat) = Stat::of(pid).filter(Stat::is_alive) else { return false };
        if self.session.is_some_and(|session| session != stat.session) {
            return false;
        }
        let is_meant = |pid: Pid| token_of(pid).is_some_and(|token| self.is_theirs(&token));
        // The session's leader is the replica's keeper. If it is somebody who carries no token, then
        // the session is not a replica's, and its processes have only inherited the environment.
        let leader = Pid::from_raw(stat.session).filter(|leader| *leader != pid);
        let is_session_theirs = leader
            .is_none_or(|leader| Stat::of(leader).is_none_or(|stat| !stat.is_alive()) || is_meant(leader));
        is_meant(pid) && is_session_theirs
    }

    fn is_theirs(&self, token: &str) -> bool {
        token.starts_with(&self.token) && self.spared.iter().all(|spared| spared != token)
    }
}

fn token_of(pid: Pid) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    token_in(&environment)
}

fn token_in(environment: &[u8]) -> Option<String> {
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|one| one.strip_prefix(TOKEN.as_bytes())?.strip_prefix(b"="))?;
    str::from_utf8(value).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn sleeper(token: &str) -> Child {
        let mut command = Command::new("setsid");
        command.args(["sleep", "60"]).env(TOKEN, token).stdin(Stdio::null());
        command.spawn().unwrap()
    }

    fn pid_of(child: &Child) -> Pid {
        Pid::from_child(child)
    }

    #[tokio::test]
    async fn a_process_is_held_only_if_number_start_and_boot_are_its_own() {
        let own = Identity::own().unwrap();
        assert!(own.hold().is_some());
        for other in [
            Identity { started_at: own.started_at - 1, ..own.clone() },
            Identity { boot: "another".into(), ..own.clone() },
            Identity { pid: -1, ..own.clone() },
        ] {
            assert!(other.hold().is_none(), "{other:?}");
        }
    }

    #[tokio::test]
    async fn the_end_of_a_process_that_is_nobodys_child_here_is_seen() {
        let mut child = sleeper("");
        let hold = Hold::of(pid_of(&child)).unwrap();
        assert!(!hold.has_ended());
        hold.signal(Signal::KILL);
        tokio::time::timeout(Duration::from_secs(20), hold.ended()).await.unwrap();
        assert!(hold.has_ended());
        child.wait().unwrap();
        hold.signal(Signal::KILL);
    }

    #[test]
    fn a_line_of_the_kernels_is_read_behind_any_program_name() {
        let line = "12 (a) R (b)) T 1 12 34 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 5678 1 1";
        let stat = Stat::read(line).unwrap();
        assert_eq!((stat.session, stat.started_at, stat.is_stopped()), (34, 5678, true));
        for wrong in ["", "12 (sleep)", "12 (sleep) S 1"] {
            assert!(Stat::read(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_token_is_found_among_other_variables_only_by_its_whole_name() {
        for (environment, token) in [
            ("A=1\0EVENKEEL_LIFE=me/web/1.1/x\0B=2\0", Some("me/web/1.1/x")),
            ("NOT_EVENKEEL_LIFE=a\0EVENKEEL_LIFETIME=b\0", None),
            ("", None),
        ] {
            assert_eq!(token_in(environment.as_bytes()).as_deref(), token, "{environment:?}");
        }
    }

    #[tokio::test]
    async fn what_is_left_of_a_life_is_ended_and_nobody_else() {
        let owner = format!("test-{}", std::process::id());
        let tokens = ["web/1.1/a", "web/1.2/b", "shop/1.1/c"].map(|rest| format!("{owner}/{rest}"));
        let mut children = tokens.each_ref().map(|token| sleeper(token));
        let [left, spared, other] = children.each_ref().map(pid_of);
        // Each has a session of its own once `setsid` has made it.
        while [left, spared, other].iter().any(|pid| {
            Stat::of(*pid).unwrap().session != pid.as_raw_nonzero().get() || token_of(*pid).is_none()
        }) {
            tokio::task::yield_now().await;
        }
        let leftovers =
            Leftovers { token: format!("{owner}/web/"), spared: vec![tokens[1].clone()], session: None };
        let elsewhere = Leftovers { session: Some(1), ..leftovers.clone() };
        assert_eq!(elsewhere.end().await, Ok(0), "nobody of this session");
        assert_eq!(leftovers.end().await, Ok(1));
        let is_alive = [left, spared, other].map(|pid| Stat::of(pid).unwrap().is_alive());
        assert_eq!(is_alive, [false, true, true]);
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

//! What a process is beyond its number.
//!
//! Numbers are used again; a number together with the time of its start and the boot that it was
//! in is not. What is to be signalled is held first and looked at then, so that a signal never
//! reaches somebody else.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How often it is looked whether a process has ended where the kernel does not tell.
const GONE_LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long a clock tick is, in milliseconds; so Linux tells it to programs whatever its own is.
const TICK_MS: u64 = 10;

/// Where in `/proc/PID/stat`, counted from behind the program's name, something stands.
const STATE: usize = 0;
const PARENT: usize = 1;
const GROUP: usize = 2;
const SESSION: usize = 3;
const STARTED_AT: usize = 19;
const ENVIRONMENT_END: usize = 48;

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
        std::iter::once(pid)
            .chain(self.children())
            .any(|pid| Stat::of(pid).is_some_and(|stat| stat.is_stopped()))
    }

    /// Its children.
    pub(super) fn children(&self) -> Vec<Pid> {
        let pid = self.pid;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().filter_map(|child| Pid::from_raw(child.parse().ok()?)).collect()
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
    parent: i32,
    group: i32,
    session: i32,
    started_at: u64,
    environment_end: u64,
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
            parent: fields.get(PARENT)?.parse().ok()?,
            group: fields.get(GROUP)?.parse().ok()?,
            session: fields.get(SESSION)?.parse().ok()?,
            started_at: fields.get(STARTED_AT)?.parse().ok()?,
            environment_end: fields.get(ENVIRONMENT_END)?.parse().ok()?,
        })
    }

    /// Where in its memory its environment ends, if it has one yet and we may know: an empty one has an end, too.
    pub(super) fn environment_end(&self) -> Option<u64> {
        (self.environment_end != 0).then_some(self.environment_end)
    }

    /// Whether it is stopped by a signal or by a tracer.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }

    pub(super) fn parent(&self) -> i32 {
        self.parent
    }

    pub(super) fn group(&self) -> i32 {
        self.group
    }

    /// Since when it runs, by the wall clock of now.
    pub(super) fn since(&self) -> Option<SystemTime> {
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let uptime = Duration::from_secs_f64(uptime.split_whitespace().next()?.parse().ok()?);
        let begun_after = Duration::from_millis(self.started_at * TICK_MS);
        SystemTime::now().checked_sub(uptime.saturating_sub(begun_after))
    }

    pub(super) fn session(&self) -> i32 {
        self.session
    }

    pub(super) fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

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
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let hold = Hold::of(Pid::from_child(&child)).unwrap();
        assert!(!hold.has_ended());
        hold.signal(Signal::KILL);
        tokio::time::timeout(Duration::from_secs(20), hold.ended()).await.unwrap();
        assert!(hold.has_ended());
        child.wait().unwrap();
        hold.signal(Signal::KILL);
    }

    #[test]
    fn a_line_of_the_kernels_is_read_behind_any_program_name() {
        let line = |end: u64| {
            let between = "0 ".repeat(28);
            format!("12 (a) R (b)) T 1 12 34 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 5678 {between}{end} 0")
        };
        let stat = Stat::read(&line(1234)).unwrap();
        assert_eq!((stat.session, stat.started_at, stat.is_stopped()), (34, 5678, true));
        assert_eq!(stat.environment_end(), Some(1234));
        assert_eq!(Stat::read(&line(0)).unwrap().environment_end(), None);
        for wrong in ["", "12 (sleep)", "12 (sleep) S 1"] {
            assert!(Stat::read(wrong).is_none(), "{wrong:?}");
        }
    }
}

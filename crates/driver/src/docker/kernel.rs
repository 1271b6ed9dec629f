//! What the kernel of this host says about a container's first process.
//!
//! The engine tells of an exit some 50 ms after it; the kernel does within one. All of this is for
//! speed and for what the engine does not see: where processes are not visible (another PID
//! namespace, a remote or rootless engine) all that is said here is "do not know", and nothing breaks.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A hold on one process. It cannot come to mean another one when the number is used again.
#[derive(Debug)]
pub(super) struct Process(AsyncFd<OwnedFd>);

impl Process {
    /// Takes hold of a container's first process, if it is visible, alive and really that one.
    pub(super) fn of_container(pid: i32, container: &str) -> Option<Self> {
        let hold = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::NONBLOCK).ok()?;
        // First the hold, then the check, then whether it still lives: only in this order can the
        // number not have passed to another process in between.
        if !belongs_to(pid, container) || has_ended(&hold) {
            return None;
        }
        register(hold).ok().map(Self)
    }

    /// Returns when the process has ended.
    pub(super) async fn ended(&self) -> io::Result<()> {
        self.0.readable().await.map(drop)
    }
}

// Tokio deprecates its safe registration because a type's descriptor might change while it is
// registered; that of an `OwnedFd` cannot. The successor is an unsafe function, and we have none.
#[expect(deprecated, reason = "an OwnedFd keeps its descriptor, and the successor is unsafe")]
fn register(hold: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(hold, Interest::READABLE)
}

/// Whether a container's first process is stopped by a signal.
pub(super) fn is_stopped(pid: i32, container: &str) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    state_in(&stat) == Some('T') && belongs_to(pid, container)
}

/// Where somebody listens in a container's network, by its first process.
pub(super) fn listeners(pid: i32, container: &str) -> Option<Vec<SocketAddr>> {
    let found = sockets::all_listeners_of(u32::try_from(pid).ok()?).ok()?;
    // Looked at last: until here the number may have passed to another process.
    belongs_to(pid, container).then(|| found.into_iter().map(|(address, _)| address).collect())
}

fn belongs_to(pid: i32, container: &str) -> bool {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"));
    groups.is_ok_and(|groups| names_container(&groups, container))
}

fn has_ended(hold: &OwnedFd) -> bool {
    let mut holds = [PollFd::new(hold, PollFlags::IN)];
    !matches!(poll(&mut holds, Some(&Timespec::default())), Ok(0))
}

/// The state letter of a `/proc/PID/stat`. The program's name before it may hold anything, closing
/// brackets too.
fn state_in(stat: &str) -> Option<char> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.trim_start().chars().next()
}

/// Whether some control group is this container's. The engine spells it `/docker/ID`,
/// `docker-ID.scope` or below a parent of the operator's; the ID is in each.
fn names_container(groups: &str, container: &str) -> bool {
    !container.is_empty() && groups.lines().any(|line| line.contains(container))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_found_behind_any_program_name() {
        for (stat, state) in [
            ("12 (sleep) T 1 12", Some('T')),
            ("12 (a) R (b)) S 1 12", Some('S')),
            ("12 (sleep)", None),
            ("", None),
        ] {
            assert_eq!(state_in(stat), state, "{stat:?}");
        }
    }

    #[test]
    fn a_process_belongs_to_a_container_by_its_control_group() {
        for (groups, belongs) in [
            ("9:name=systemd:/docker/abc123\n8:pids:/docker/abc123\n", true),
            ("0::/system.slice/docker-abc123.scope\n", true),
            ("0::/user.slice/session-1.scope\n", false),
            ("", false),
        ] {
            assert_eq!(names_container(groups, "abc123"), belongs, "{groups:?}");
        }
        assert!(!names_container("0::/docker/abc123", ""));
    }

    #[test]
    fn a_process_that_is_no_containers_is_not_held() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(Process::of_container(own, "no-such-container").is_none());
        assert!(!is_stopped(own, "no-such-container"));
    }
}

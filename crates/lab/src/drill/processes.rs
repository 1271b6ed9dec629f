//! A group of processes that is signalled as one: those that serve a replica, and all below them.
//!
//! Each is held by a descriptor, so that a signal cannot reach somebody else who got the number later.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Processes that are held.
#[derive(Debug)]
pub(super) struct Processes {
    held: Vec<(i32, OwnedFd)>,
}

impl Processes {
    /// These and all of their descendants.
    pub(super) fn with_descendants(roots: &[i32]) -> io::Result<Self> {
        let parents = parents();
        let mut pids = roots.to_vec();
        let below = |pid: i32| ancestors(pid, &parents).any(|ancestor| roots.contains(&ancestor));
        pids.extend(parents.keys().copied().filter(|pid| !roots.contains(pid) && below(*pid)));
        let mut held = Vec::new();
        for pid in pids {
            let Some(number) = Pid::from_raw(pid).filter(|_| is_ours_to_signal(pid)) else { continue };
            match pidfd_open(number, PidfdFlags::empty()) {
                Ok(descriptor) => held.push((pid, descriptor)),
                // One that has just ended needs no signal.
                Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self { held })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn pids(&self) -> impl Iterator<Item = i32> {
        self.held.iter().map(|(pid, _)| *pid)
    }

    /// Signals all; says whether anybody was there. Fails if it may not be done.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<bool> {
        let mut is_anybody_there = false;
        for (_, descriptor) in &self.held {
            match pidfd_send_signal(descriptor, signal) {
                Ok(()) => is_anybody_there = true,
                Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(is_anybody_there)
    }
}

/// The first process and this one are nobody's replica.
fn is_ours_to_signal(pid: i32) -> bool {
    pid > 1 && u32::try_from(pid).is_ok_and(|pid| pid != std::process::id())
}

/// A variable of a process's environment, as it was when it began, if we may look.
pub(super) fn variable(pid: i32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|one| one.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    str::from_utf8(value).ok().map(str::to_owned)
}

/// Whether one process is below another.
pub(super) fn is_below(pid: i32, above: &[i32]) -> bool {
    ancestors(pid, &parents()).any(|ancestor| above.contains(&ancestor))
}

/// Whether one process is below another that is called so.
pub(super) fn is_below_one_called(pid: i32, name: &str) -> bool {
    let is_called = |pid: i32| {
        let called = fs::read_to_string(format!("/proc/{pid}/comm"));
        called.is_ok_and(|called| called.trim_end() == name)
    };
    ancestors(pid, &parents()).any(is_called)
}

/// Parents, their parents, and so on. Bounded by how many there are: numbers may be used again while
/// they are read.
fn ancestors(pid: i32, parents: &BTreeMap<i32, i32>) -> impl Iterator<Item = i32> {
    let parent = |pid: &i32| parents.get(pid).copied().filter(|parent| *parent > 0);
    std::iter::successors(parent(&pid), move |pid| parent(pid)).take(parents.len())
}

/// The parent of every process that there is.
fn parents() -> BTreeMap<i32, i32> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The program's name stands in parentheses and may hold some itself.
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        if let Some(parent) = parent {
            parents.insert(pid, parent);
        }
    }
    parents
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_group_has_the_descendants_and_never_ourselves() {
        let me = i32::try_from(std::process::id()).unwrap();
        // `true` behind the sleep keeps the shell from becoming it.
        let mut shell =
            Command::new("sh").args(["-c", "sleep 60; true"]).stdout(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(shell.id()).unwrap();
        let begun = std::time::Instant::now();
        let group = loop {
            let group = Processes::with_descendants(&[pid]).unwrap();
            if group.pids().count() == 2 {
                break group;
            }
            assert!(begun.elapsed().as_secs() < 30, "the shell starts its sleep");
        };
        assert!(is_below(pid, &[me]) && !is_below(me, &[pid]));
        assert!(group.signal(Signal::KILL).unwrap());
        shell.wait().unwrap();
        assert!(Processes::with_descendants(&[me]).unwrap().pids().all(|pid| pid != me));
    }
}

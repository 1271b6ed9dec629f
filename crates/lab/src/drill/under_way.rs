//! Faults under way: what each does to a replica from outside, and how it is undone.
//!
//! A fault that is under way is undone when it is dropped, whatever the reason.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use fleet::Address;
use rustix::process::Signal;

use super::engine::Container;
use super::fault::Fault;
use super::processes::Processes;
use super::victim::{Body, Victim};

/// How long a slow replica may work, and how long it is then held: about a tenth of its speed.
const SLOW_RUNS: Duration = Duration::from_millis(2);
const SLOW_HOLDS: Duration = Duration::from_millis(18);

impl Fault {
    /// What is done, in words.
    pub(super) fn deed(self, victim: &Victim) -> String {
        match (self, &victim.body) {
            (Self::Kill, Body::Processes(_)) => "kill it with SIGKILL".into(),
            (Self::Kill, Body::Container(_)) => "kill its container".into(),
            (Self::Freeze, Body::Processes(_)) => {
                "stop it with SIGSTOP, and let it go on with SIGCONT".into()
            }
            (Self::Freeze, Body::Container(_)) => "pause its container, and unpause it".into(),
            (Self::Slow, _) => format!(
                "hold it with SIGSTOP for {} ms of every {} ms",
                SLOW_HOLDS.as_millis(),
                (SLOW_HOLDS + SLOW_RUNS).as_millis()
            ),
            (Self::Refuse, _) => match &victim.address {
                Address::Tcp(address) => {
                    let rules: Vec<String> =
                        rules(*address).iter().map(|rule| line("-I", rule, *address)).collect();
                    format!("refuse its port by `{}`, and delete the rule again", rules.join("` and `"))
                }
                Address::Unix(_) => "refuse its socket".into(),
            },
        }
    }

    /// Does it. The error says what is missing.
    pub(super) fn begin(self, victim: &Victim) -> Result<UnderWay, String> {
        let nothing = || UnderWay(None);
        let until = |undoing| UnderWay(Some(undoing));
        match (self, &victim.body) {
            (Self::Kill, Body::Processes(processes)) => signal(processes, Signal::KILL).map(|()| nothing()),
            (Self::Kill, Body::Container(container)) => container.perform("kill").map(|()| nothing()),
            (Self::Freeze, Body::Processes(processes)) => {
                // Whatever of it was stopped goes on when this is dropped, also after an error.
                let under_way = until(Undoing::Frozen(Arc::clone(processes)));
                signal(processes, Signal::STOP).map(|()| under_way)
            }
            (Self::Freeze, Body::Container(container)) => {
                container.perform("pause").map(|()| until(Undoing::Paused(container.clone())))
            }
            (Self::Slow, body) => Ok(until(Undoing::Slow(Brake::start(visible(body)?)))),
            (Self::Refuse, _) => match &victim.address {
                Address::Tcp(address) => Refusal::begin(*address).map(Undoing::Refused).map(until),
                Address::Unix(_) => Err("a Unix socket has no port that could be refused".into()),
            },
        }
    }
}

/// The processes behind a replica, as far as they can be seen from here.
fn visible(body: &Body) -> Result<Arc<Processes>, String> {
    match body {
        Body::Processes(processes) => Ok(Arc::clone(processes)),
        Body::Container(container) if container.is_visible() => {
            Processes::with_descendants(&[container.pid]).map(Arc::new).map_err(|error| error.to_string())
        }
        Body::Container(_) => {
            let text =
                "the container's processes cannot be seen from here; run the drill on the engine's host";
            Err(text.into())
        }
    }
}

/// A fault that was begun; undone when dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Option<Undoing>);

/// What undoing takes; nothing for a fault that cannot be undone.
#[derive(Debug)]
enum Undoing {
    Frozen(Arc<Processes>),
    Paused(Container),
    Slow(Brake),
    Refused(Refusal),
}

impl UnderWay {
    /// Undoes it; a second time does nothing. Fails if something stays that somebody has to remove.
    pub(super) fn undo(&mut self) -> Result<(), String> {
        match self.0.take() {
            None => Ok(()),
            // Who is gone by now needs nothing.
            Some(Undoing::Frozen(processes)) => {
                processes.signal(Signal::CONT).map(drop).map_err(|error| error.to_string())
            }
            Some(Undoing::Paused(container)) => container.go_on(),
            Some(Undoing::Slow(brake)) => {
                drop(brake);
                Ok(())
            }
            Some(Undoing::Refused(mut refusal)) => refusal.end(),
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // Whoever wants to know calls it before.
        let _ = self.undo();
    }
}

fn signal(processes: &Processes, signal: Signal) -> Result<(), String> {
    match processes.signal(signal) {
        Ok(true) => Ok(()),
        Ok(false) => Err("its processes have ended in the meantime".into()),
        Err(error) => Err(format!("its processes may not be signalled: {error}; run the drill as root")),
    }
}

/// Holds processes most of the time, on a thread of its own.
#[derive(Debug)]
pub(super) struct Brake {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Brake {
    fn start(processes: Arc<Processes>) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let seen = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                let is_there = processes.signal(Signal::STOP);
                std::thread::sleep(SLOW_HOLDS);
                let _ = processes.signal(Signal::CONT);
                if !is_there.unwrap_or(false) {
                    return;
                }
                std::thread::sleep(SLOW_RUNS);
            }
        });
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for Brake {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Rules of the packet filter that refuse an address.
#[derive(Debug)]
pub(super) struct Refusal {
    address: SocketAddr,
    rules: Vec<[&'static str; 3]>,
}

/// Where a packet to an address of this host, or of a container on it, can be refused: chain and
/// interface.
fn rules(address: SocketAddr) -> Vec<[&'static str; 3]> {
    if address.ip().is_loopback() {
        vec![["INPUT", "-i", "lo"]]
    } else {
        // From the host itself, and from a balancer in a container.
        vec![["OUTPUT", "", ""], ["FORWARD", "", ""]]
    }
}

fn program(address: SocketAddr) -> &'static str {
    if address.is_ipv4() { "iptables" } else { "ip6tables" }
}

fn arguments(verb: &str, rule: &[&str; 3], address: SocketAddr) -> Vec<String> {
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let before = std::iter::once(verb).chain(rule.iter().copied().filter(|word| !word.is_empty()));
    let after = ["-p", "tcp", "-d", &ip, "--dport", &port, "-j", "REJECT", "--reject-with", "tcp-reset"];
    before.chain(after).map(str::to_owned).collect()
}

/// The command as somebody would type it.
fn line(verb: &str, rule: &[&str; 3], address: SocketAddr) -> String {
    format!("{} {}", program(address), arguments(verb, rule, address).join(" "))
}

impl Refusal {
    fn begin(address: SocketAddr) -> Result<Self, String> {
        let mut refusal = Self { address, rules: Vec::new() };
        for rule in rules(address) {
            run("-I", &rule, address)?;
            refusal.rules.push(rule);
        }
        Ok(refusal)
    }

    fn end(&mut self) -> Result<(), String> {
        let mut failures = Vec::new();
        for rule in std::mem::take(&mut self.rules) {
            if let Err(error) = run("-D", &rule, self.address) {
                failures.push(format!("{error}; delete it by hand: {}", line("-D", &rule, self.address)));
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
    }
}

impl Drop for Refusal {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn run(verb: &str, rule: &[&str; 3], address: SocketAddr) -> Result<(), String> {
    let program = program(address);
    let output = Command::new(program).args(arguments(verb, rule, address)).output();
    let output = output.map_err(|error| format!("refusing a port takes `{program}`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().find(|line| !line.starts_with('#')).unwrap_or("it failed");
    Err(format!("refusing a port takes root and `{program}`, which says: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_refused_where_its_packets_pass() {
        let commands = |address: &str| -> Vec<String> {
            let address = address.parse().unwrap();
            rules(address).iter().map(|rule| line("-I", rule, address)).collect()
        };
        let end = "-j REJECT --reject-with tcp-reset";
        assert_eq!(
            commands("127.0.0.1:9001"),
            [format!("iptables -I INPUT -i lo -p tcp -d 127.0.0.1 --dport 9001 {end}")]
        );
        assert_eq!(
            commands("172.18.0.3:5000"),
            [
                format!("iptables -I OUTPUT -p tcp -d 172.18.0.3 --dport 5000 {end}"),
                format!("iptables -I FORWARD -p tcp -d 172.18.0.3 --dport 5000 {end}")
            ]
        );
        assert!(commands("[::1]:9001")[0].starts_with("ip6tables -I INPUT -i lo -p tcp -d ::1 "));
    }
}

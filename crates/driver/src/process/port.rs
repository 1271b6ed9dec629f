//! The port of a replica, and that it stays the replica's.
//!
//! Whoever listens there is believed to be the replica only if every socket that could be given a
//! connection to the port is held by the replica's own processes. And once it is known, the port is
//! guarded: a second socket of ours is bound to it, which listens to nothing, shares it with the
//! replica's account alone, and is still there when the replica has died. So nobody else gets the port
//! while requests may still be on their way to it; they are refused, as by any dead replica.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{Uid, fchown, fstat};
use rustix::net::sockopt::{set_socket_reuseaddr, set_socket_reuseport, socket_reuseport};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use sockets::{Socket, listeners};

use super::kin::{self, Descriptor, Kin};
use crate::Recognition;

/// How long it is believed without another look that nobody has joined the port who may share it.
const FULL_LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often it is looked before somebody is called a stranger: a replica may be on its way from one
/// socket to the next, or from one process to the next.
const LOOKS: u32 = 3;
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// How long a port is held whose replica has ended, so that the last request has heard of it.
const HELD_AFTER_END: Duration = Duration::from_secs(30);

/// How long it is held when its replica has closed it and lives: it may want it back.
const HELD_AFTER_CLOSE: Duration = Duration::from_millis(400);

/// The most addresses that are told of a replica that listens elsewhere.
const ADDRESSES_MAX: usize = 4;

/// A replica's port, and what is known of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Port(Arc<Mutex<Option<Known>>>);

/// Who listens there, seen to be the replica.
#[derive(Debug)]
struct Known {
    held: Vec<Held>,
    looked_at: Instant,
    /// The socket that keeps others off; nothing where this system does not let us have it.
    guard: Option<OwnedFd>,
    /// Since when nobody is seen to listen any more.
    closed_at: Option<Instant>,
}

/// A listener of the replica's own.
#[derive(Clone, Copy, Debug)]
struct Held {
    listener: Socket,
    /// By which it holds it; nothing if it does not let us look, and only its account tells.
    by: Option<Descriptor>,
}

/// Who is seen to listen.
enum Seen {
    Nobody,
    Own(Vec<Held>),
    Stranger(Socket),
}

impl Port {
    /// Whether whoever listens there is the replica, or its keeper's.
    pub(super) async fn recognise(&self, replica: Pid, address: SocketAddr) -> Recognition {
        if self.is_known_still() {
            return Recognition::Itself;
        }
        // There may be many processes to look at, and this thread has other replicas to ask.
        let port = self.clone();
        let looked = tokio::task::spawn_blocking(move || port.look(replica, address));
        looked.await.unwrap_or(Recognition::Nobody)
    }

    /// Keeps others off the port for a while, because its replica is over.
    pub(super) fn let_go_later(self) {
        let guard = self.known().take().and_then(|known| known.guard);
        if let Some(guard) = guard {
            tokio::spawn(async move {
                tokio::time::sleep(HELD_AFTER_END).await;
                drop(guard);
            });
        }
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A descriptor that is still of the same socket says that the port never was anybody else's.
    fn is_known_still(&self) -> bool {
        let known = self.known();
        let Some(known) = known.as_ref().filter(|known| known.looked_at.elapsed() < FULL_LOOK_EVERY) else {
            return false;
        };
        let is_same = |held: &Held| held.by.is_some_and(|by| kin::is_of(by, held.listener.inode));
        known.closed_at.is_none() && known.held.iter().all(is_same)
    }

    fn look(&self, replica: Pid, address: SocketAddr) -> Recognition {
        match look(Kin::of(replica), address) {
            Ok(Seen::Own(held)) => {
                self.learn(held, address);
                Recognition::Itself
            }
            Ok(Seen::Nobody) => {
                self.close();
                Recognition::Nobody
            }
            Ok(Seen::Stranger(listener)) => Recognition::Stranger(describe(listener, address)),
            Err(error) => {
                tracing::warn!(
                    "cannot see who listens on port {}, so it is not routed to: {error}",
                    address.port()
                );
                Recognition::Nobody
            }
        }
    }

    fn learn(&self, held: Vec<Held>, address: SocketAddr) {
        let mut known = self.known();
        let before = known.take();
        let was_refused = before.as_ref().is_some_and(|known| known.guard.is_none());
        let guard = before.and_then(|known| known.guard).or_else(|| {
            let error = match guard(held.first()?, address) {
                Ok(guard) => return Some(guard),
                Err(error) => error,
            };
            if !was_refused {
                let port = address.port();
                tracing::warn!("port {port} is not held for the moment in which its replica dies, another account could take it then: {error}");
            }
            None
        });
        *known = Some(Known { held, looked_at: Instant::now(), guard, closed_at: None });
    }

    /// Nobody listens: what lives and wants its port back must be able to have it.
    fn close(&self) {
        let mut known = self.known();
        let closed_at = known.as_mut().map(|known| *known.closed_at.get_or_insert_with(Instant::now));
        if closed_at.is_some_and(|at| at.elapsed() >= HELD_AFTER_CLOSE) {
            *known = None;
        }
    }
}

fn look(kin: Kin, address: SocketAddr) -> io::Result<Seen> {
    let mut seen = look_once(kin, address)?;
    for _ in 1..LOOKS {
        if !matches!(seen, Seen::Stranger(_)) {
            break;
        }
        std::thread::sleep(LOOK_PAUSE);
        seen = look_once(kin, address)?;
    }
    Ok(seen)
}

fn look_once(kin: Kin, address: SocketAddr) -> io::Result<Seen> {
    let listeners = listeners(address)?;
    if listeners.is_empty() {
        return Ok(Seen::Nobody);
    }
    let members = kin.members();
    let mut own = Vec::new();
    for listener in listeners {
        match held(listener, &members) {
            Some(held) => own.push(held),
            None => return Ok(Seen::Stranger(listener)),
        }
    }
    Ok(Seen::Own(own))
}

/// Where a replica listens, as far as that can be seen.
pub(super) fn listens_on(replica: Pid) -> Vec<SocketAddr> {
    let members = Kin::of(replica).members();
    let is_own = |listener: Socket| held(listener, &members).is_some_and(|held| held.by.is_some());
    let all = sockets::all_listeners().unwrap_or_default().into_iter();
    all.filter(|(_, listener)| is_own(*listener)).map(|(address, _)| address).take(ADDRESSES_MAX).collect()
}

fn held(listener: Socket, members: &[Pid]) -> Option<Held> {
    let mut is_hidden = false;
    for member in members {
        match kin::holds(*member, listener.inode) {
            Ok(Some(by)) => return Some(Held { listener, by: Some(by) }),
            Ok(None) => {}
            // What has more rights than we have is not to be looked into. Its account is known.
            Err(_) => is_hidden |= kin::account(*member) == Some(listener.uid),
        }
    }
    is_hidden.then_some(Held { listener, by: None })
}

fn describe(listener: Socket, address: SocketAddr) -> String {
    let (port, uid) = (address.port(), listener.uid);
    let pid = kin::holder(listener.inode).map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    format!("port {port} is held by uid {uid}{pid}, not by the replica: not routed")
}

/// Binds a second socket to the port of a listener. The kernel lets two sockets of one account share a
/// port if both say so, so the listener is made to say it for this moment.
fn guard(held: &Held, address: SocketAddr) -> io::Result<OwnedFd> {
    let by = held.by.ok_or(io::ErrorKind::PermissionDenied)?;
    let process = pidfd_open(by.pid, PidfdFlags::empty())?;
    let listener = pidfd_getfd(&process, by.number, PidfdGetfdFlags::empty())?;
    // It may have closed it since it was looked at, and have something else by this number.
    if fstat(&listener)?.st_ino != held.listener.inode {
        return Err(io::ErrorKind::NotFound.into());
    }
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let guard = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if held.listener.uid != rustix::process::geteuid().as_raw() {
        fchown(&guard, Some(Uid::from_raw(held.listener.uid)), None)?;
    }
    let shared = socket_reuseport(&listener)?;
    // What the listener has accepted is in the way too, unless both say that it need not be.
    set_socket_reuseaddr(&guard, true)?;
    set_socket_reuseport(&guard, true)?;
    set_socket_reuseport(&listener, true)?;
    let bound = bind(&guard, &address);
    set_socket_reuseport(&listener, shared)?;
    bound?;
    // From here on it is in everybody's way but that of its own account.
    set_socket_reuseaddr(&guard, false)?;
    Ok(guard)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::process::{Child, Command};

    use rustix::process::getpid;

    use super::*;

    fn listening() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn bystander() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    #[tokio::test]
    async fn only_the_replicas_own_listeners_are_it() {
        let (listener, address) = listening();
        let mut other = bystander();
        let port = Port::default();
        assert_eq!(port.recognise(getpid(), address).await, Recognition::Itself);
        let Recognition::Stranger(words) = Port::default().recognise(Pid::from_child(&other), address).await
        else {
            panic!("it is somebody else's")
        };
        let (number, uid, pid) = (address.port(), rustix::process::geteuid(), std::process::id());
        assert_eq!(
            words,
            format!("port {number} is held by uid {uid} (pid {pid}), not by the replica: not routed")
        );
        drop(listener);
        assert_eq!(port.recognise(getpid(), address).await, Recognition::Nobody);
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[tokio::test]
    async fn a_port_that_is_known_stays_the_replicas_when_its_listener_is_gone_and_refuses() {
        let (listener, address) = listening();
        let port = Port::default();
        // Connections that were made before it was looked at are not in the way.
        let client = TcpStream::connect(address).unwrap();
        let accepted = listener.accept().unwrap();
        drop(accepted);
        drop(client);
        assert_eq!(port.recognise(getpid(), address).await, Recognition::Itself);
        assert!(TcpStream::connect(address).is_ok(), "it still listens");
        // One under way when it dies is in nobody's way.
        let _client = TcpStream::connect(address).unwrap();
        let _accepted = listener.accept().unwrap();
        drop(listener);
        let taken = TcpListener::bind(address).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        // A process that another test begins has the listener, too, until it has become its program.
        let begun = Instant::now();
        let refused = loop {
            match TcpStream::connect(address) {
                Err(refused) => break refused,
                Ok(_) => assert!(begun.elapsed() < Duration::from_secs(20), "somebody listens"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        // What lives may have its port back after a while.
        let begun = Instant::now();
        while port.recognise(getpid(), address).await == Recognition::Nobody
            && TcpListener::bind(address).is_err()
        {
            assert!(begun.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

//! What is left of lives that are over: found by the token that each of their processes carries, and ended.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use fleet::ReplicaName;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::identity::Stat;
use super::kin::processes;
use super::token::{LifeMark, TOKEN};

/// How long what was killed may take to be gone, and how often that is looked at.
const GONE_WAIT: Duration = Duration::from_secs(5);
const GONE_LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long is waited for those that are about to become another program.
const EXEC_WAIT: Duration = Duration::from_millis(500);

/// What is left, and of whom.
#[derive(Clone, Debug)]
pub(super) enum Leftovers {
    /// Of the life with this token, which we have made or have in a record of ours.
    Life(String),
    /// Of a service, but for those lives that go on.
    Service { mark: LifeMark, service: String, spared: Vec<String> },
    /// Of all services but these.
    OtherServices { mark: LifeMark, services: Vec<String> },
}

/// What one look at all processes came to.
#[derive(Default)]
struct Found {
    killed: Vec<i32>,
    /// Whether there were some of whom it was not to be seen whose they are.
    has_unclear: bool,
}

/// What a process is to those who look for leftovers.
#[derive(Clone, Copy)]
enum Regard {
    Meant,
    Other,
    Unclear,
}

/// What a process says of the life that it belongs to.
#[derive(Debug, PartialEq)]
enum Token {
    Is(String),
    Missing,
    /// It is becoming another program, and has no whole environment at the moment.
    NotYet,
}

impl Leftovers {
    /// Ends them, and says how many there were of this service, or how many do not end.
    pub(super) async fn end_and_tell(self, service: &str) -> Result<usize, usize> {
        let ended = self.end().await;
        match ended {
            Ok(0) => {}
            Ok(count) => tracing::warn!(%service, "ended {} of replicas that are over", number(count)),
            Err(count) => tracing::error!(%service, "{} of replicas that are over do not end", number(count)),
        }
        ended
    }

    /// Kills them all and waits until none is left; says how many were killed, or how many do not end.
    async fn end(self) -> Result<usize, usize> {
        let begun = tokio::time::Instant::now();
        let mut killed = BTreeSet::new();
        loop {
            let leftovers = self.clone();
            // There may be many processes to look at, and this thread has replicas to look after.
            let found = tokio::task::spawn_blocking(move || leftovers.kill()).await.unwrap_or_default();
            let is_all_seen = !found.has_unclear || begun.elapsed() > EXEC_WAIT;
            if found.killed.is_empty() && is_all_seen {
                return Ok(killed.len());
            }
            let count = found.killed.len();
            killed.extend(found.killed);
            if begun.elapsed() > GONE_WAIT {
                return Err(count);
            }
            tokio::time::sleep(GONE_LOOK_EVERY).await;
        }
    }

    fn kill(&self) -> Found {
        let mut found = Found::default();
        for pid in processes() {
            match self.regard(pid) {
                _ if pid == rustix::process::getpid() => continue,
                Regard::Meant => {}
                Regard::Other => continue,
                Regard::Unclear => {
                    found.has_unclear = true;
                    continue;
                }
            }
            let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            // It is held now; whether it is still the same is seen by looking again.
            match self.regard(pid) {
                Regard::Meant => {
                    let _ = pidfd_send_signal(&process, Signal::KILL);
                    found.killed.push(pid.as_raw_nonzero().get());
                }
                Regard::Other => {}
                Regard::Unclear => found.has_unclear = true,
            }
        }
        found
    }

    fn regard(&self, pid: Pid) -> Regard {
        let Some(stat) = Stat::of(pid).filter(Stat::is_alive) else { return Regard::Other };
        let own = self.regard_of(token_of(pid));
        // The leader of each replica's session is the replica, its keeper, or what it left behind. If it is
        // somebody who carries no token, then the session is not a replica's, and its processes have only
        // inherited the environment.
        let leader = Pid::from_raw(stat.session()).filter(|leader| *leader != pid);
        let leader = leader.filter(|leader| Stat::of(*leader).as_ref().is_some_and(Stat::is_alive));
        match (own, leader) {
            (Regard::Meant, Some(leader)) => self.regard_of(token_of(leader)),
            (own, _) => own,
        }
    }

    fn regard_of(&self, token: Token) -> Regard {
        match token {
            Token::Is(token) if self.is_theirs(&token) => Regard::Meant,
            Token::Is(_) | Token::Missing => Regard::Other,
            Token::NotYet => Regard::Unclear,
        }
    }

    fn is_theirs(&self, token: &str) -> bool {
        match self {
            Self::Life(life) => token == life,
            Self::Service { mark, service, spared } => {
                mark.service(token) == Some(service) && spared.iter().all(|spared| spared != token)
            }
            Self::OtherServices { mark, services } => {
                mark.service(token).is_some_and(|service| services.iter().all(|known| known != service))
            }
        }
    }
}

/// Ends what a life has left behind that is over.
pub(super) async fn end_with(name: &ReplicaName, token: String) {
    match Leftovers::Life(token).end().await {
        Ok(0) => {}
        Ok(count) => tracing::warn!(
            replica = %name,
            "has left {} behind, which ended with it; a command that goes to the background is not looked after",
            number(count)
        ),
        Err(count) => {
            tracing::error!(replica = %name, "{} that it has left behind do not end", number(count));
        }
    }
}

fn number(count: usize) -> String {
    format!("{count} process{}", if count == 1 { "" } else { "es" })
}

/// Ends what earlier balancers with this mark left of services other than these; says how many processes there
/// were, or how many do not end.
pub async fn end_unknown(mark: LifeMark, services: Vec<String>) -> Result<usize, usize> {
    Leftovers::OtherServices { mark, services }.end_and_tell("of an earlier configuration").await
}

fn token_of(pid: Pid) -> Token {
    let end = || Stat::of(pid).and_then(|stat| stat.environment_end());
    let before = end();
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return Token::Missing };
    // Whoever became another program meanwhile has another end now, and what was read may be cut off.
    let is_complete = before.is_some() && before == end();
    // A thread of the kernel has neither an environment nor a program.
    let has_program = || fs::read_link(format!("/proc/{pid}/exe")).is_ok();
    if !is_complete && has_program() {
        return Token::NotYet;
    }
    token_in(&environment).map_or(Token::Missing, Token::Is)
}

fn token_in(environment: &[u8]) -> Option<String> {
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|one| one.strip_prefix(TOKEN.as_bytes())?.strip_prefix(b"="))?;
    str::from_utf8(value).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use files::Secret;
    use fleet::Life;
    use placement::Seat;

    use super::*;

    fn sleeper(token: &str) -> Child {
        let mut command = Command::new("setsid");
        command.args(["sleep", "60"]).env(TOKEN, token).stdin(Stdio::null());
        command.spawn().unwrap()
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

    #[test]
    fn who_becomes_another_program_is_never_taken_for_one_without_a_token() {
        let mut child = Command::new("sh")
            .args(["-c", "exec sh -c \"$AGAIN\""])
            .envs([(TOKEN, "me/web/1.1/x"), ("AGAIN", "exec sh -c \"$AGAIN\"")])
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let is_seen = |_: &usize| token_of(pid) == Token::Is("me/web/1.1/x".into());
        while !is_seen(&0) {}
        let missed = (0..3_000).filter(|_| token_of(pid) == Token::Missing).count();
        let seen = (0..3_000).filter(is_seen).count();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(missed, 0);
        assert!(seen > 0);
    }

    #[test]
    fn nobody_waits_for_a_process_that_has_no_environment() {
        let mut child = Command::new("env").args(["-i", "sleep", "60"]).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let cmdline = || fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        while cmdline() != b"sleep\x0060\0" || token_of(pid) == Token::NotYet {}
        assert_eq!(token_of(pid), Token::Missing);
        child.kill().unwrap();
        child.wait().unwrap();
        // The kernel's own threads, which are below the second process where they are to be seen.
        let is_of_kernel = |pid: &Pid| Stat::of(*pid).is_some_and(|stat| stat.parent() == 2);
        for pid in processes().filter(is_of_kernel) {
            assert_eq!(token_of(pid), Token::Missing, "{pid}");
        }
    }

    #[tokio::test]
    async fn what_is_left_of_lives_is_ended_and_nobody_else() {
        let mark = LifeMark { owner: format!("test-{}", std::process::id()), key: Secret::of([1; 32]) };
        let life = |incarnation| Life { seat: Seat::at_index(0), incarnation };
        let forged = LifeMark { key: Secret::of([2; 32]), ..mark.clone() };
        let tokens = [
            mark.token("web", life(1)),
            mark.token("web", life(2)),
            mark.token("web", life(3)),
            mark.token("shop", life(1)),
            mark.token("mail", life(1)),
            forged.token("web", life(1)),
        ];
        let mut children = tokens.each_ref().map(|token| sleeper(token));
        let pids = children.each_ref().map(Pid::from_child);
        // Each has a session of its own once `setsid` has made it.
        let is_ready = |pid: &Pid| {
            Stat::of(*pid).unwrap().session() == pid.as_raw_nonzero().get()
                && matches!(token_of(*pid), Token::Is(_))
        };
        while !pids.iter().all(is_ready) {
            tokio::task::yield_now().await;
        }
        let alive = || pids.map(|pid| Stat::of(pid).unwrap().is_alive());
        assert_eq!(Leftovers::Life(tokens[0].clone()).end().await, Ok(1));
        assert_eq!(alive(), [false, true, true, true, true, true]);
        let (service, spared) = ("web".to_owned(), vec![tokens[1].clone()]);
        assert_eq!(Leftovers::Service { mark: mark.clone(), service, spared }.end().await, Ok(1));
        assert_eq!(alive(), [false, true, false, true, true, true]);
        let services = vec!["web".to_owned(), "mail".to_owned()];
        assert_eq!(Leftovers::OtherServices { mark, services }.end().await, Ok(1));
        assert_eq!(alive(), [false, true, false, false, true, true]);
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

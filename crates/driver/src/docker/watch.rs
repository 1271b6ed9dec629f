//! What happens to containers, as it happens.
//!
//! Owns the engine's event stream. It reports; the same end may be
//! reported twice, by the kernel at once and by the engine with its exit code, but never an end
//! that was none.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::models::EventMessage;
use fleet::{Event, Exit, Life};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::errors::CallError;
use super::found;
use super::labels::{self, Filters};
use super::witness::{LATE_WORDS_LIMIT, Witness};

/// Pauses before the stream is asked for again: doubled from the first to the longest. After each
/// the fleet looks for itself, so the longest is also how late it learns things without a stream.
const RECONNECT_PAUSE_FIRST: Duration = Duration::from_millis(100);
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);

/// How many containers are remembered until they are removed, for what was seen of their end.
const ENDS_MAX: usize = 4096;

/// Follows the engine's events until it is aborted. A stream that breaks is resumed from the last
/// event that was seen. An engine that was restarted has forgotten what was before, so each time
/// it is also told that something may have gone unseen.
pub(super) async fn follow(witness: Witness, filters: Filters, since: SystemTime) {
    let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
    let presence = witness.engine.presence();
    let mut follower = Follower { witness, since, ends: HashMap::new() };
    let mut pause = RECONNECT_PAUSE_FIRST;
    loop {
        let seen_until = follower.since;
        let was_interrupted = follower.follow_once(&filters).await;
        if was_interrupted || follower.since > seen_until {
            pause = RECONNECT_PAUSE_FIRST;
        }
        if !was_interrupted {
            presence.doubt();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RECONNECT_PAUSE_MAX);
        }
        presence.regained().await;
        follower.witness.report(Event::Overlooked).await;
    }
}

struct Follower {
    witness: Witness,
    /// When the last event that was seen happened, by the engine's clock.
    since: Duration,
    ends: HashMap<String, End>,
}

/// What was seen of a container's end.
#[derive(Default)]
struct End {
    had_no_memory: bool,
    is_told: bool,
}

/// What an event says of a replica.
#[derive(Debug, PartialEq)]
enum News {
    Ended { code: Option<i64> },
    Frozen(bool),
    OutOfMemory,
    Health { is_bad: bool },
    Removed,
}

impl Follower {
    /// Until the stream ends, or until the engine was away: then nobody knows what it is worth.
    /// Returns whether it was that.
    async fn follow_once(&mut self, filters: &Filters) -> bool {
        let since = format!("{}.{:09}", self.since.as_secs(), self.since.subsec_nanos());
        let mut stream = Box::pin(self.witness.engine.events(filters.clone(), since));
        let presence = self.witness.engine.presence();
        let mut absence = std::pin::pin!(presence.returned());
        // Reports of exits wait a little for last words; they wait beside each other, or a hundred
        // deaths at once would be told two seconds late.
        let mut reports = FuturesUnordered::new();
        let was_interrupted = loop {
            tokio::select! {
                next = stream.next() => match next {
                    Some(Ok(message)) => reports.extend(self.take(message).await),
                    Some(Err(error)) => {
                        let error: CallError = error.into();
                        tracing::warn!(%error, "the engine's events broke off, asking again");
                        break false;
                    }
                    None => {
                        tracing::warn!("the engine's events ended, asking again");
                        break false;
                    }
                },
                () = &mut absence => break true,
                Some(()) = reports.next() => {}
            }
        };
        while let Some(()) = reports.next().await {}
        was_interrupted
    }

    /// Takes in one event. What it leaves to report with some patience, it returns.
    async fn take(&mut self, message: EventMessage) -> Option<BoxFuture<'static, ()>> {
        if let Some(at) = message.time_nano.and_then(|nanoseconds| u64::try_from(nanoseconds).ok()) {
            self.since = self.since.max(Duration::from_nanos(at));
        }
        let (life, container, news) = read(message)?;
        match news {
            News::Ended { code } => {
                let had_no_memory = self.end(&container, |end| {
                    end.is_told = true;
                    end.had_no_memory
                });
                let ended = Ended { life, container, code, had_no_memory };
                Some(ended.report(self.witness.clone()).boxed())
            }
            News::Frozen(is_frozen) => {
                if self.witness.lives.is_news(life, &container) {
                    self.witness.report(Event::Frozen(life, is_frozen)).await;
                }
                None
            }
            News::OutOfMemory => {
                self.end(&container, |end| end.had_no_memory = true);
                None
            }
            News::Health { is_bad } => {
                self.witness.lives.told_health(life, &container, is_bad);
                None
            }
            News::Removed => {
                let is_told = self.ends.remove(&container).is_some_and(|end| end.is_told);
                if !is_told {
                    self.witness.report_exit(life, &container, Exit::default()).await;
                }
                None
            }
        }
    }

    fn end<T>(&mut self, container: &str, change: impl FnOnce(&mut End) -> T) -> T {
        if self.ends.len() >= ENDS_MAX {
            // Removals were missed while the stream was broken. To forget costs at most a second
            // report of an end.
            self.ends.clear();
        }
        change(self.ends.entry(container.to_string()).or_default())
    }
}

/// An end of which the engine has told.
struct Ended {
    life: Life,
    container: String,
    code: Option<i64>,
    had_no_memory: bool,
}

impl Ended {
    async fn report(self, witness: Witness) {
        let Self { life, container, code, had_no_memory } = self;
        // Where the kernel was not faster, as with who ends within milliseconds, that it ended is told first, and
        // how when that is known: nobody waits for last words, and nothing is removed before they are read.
        if !witness.lives.has_seen_end(life) {
            witness.lives.saw_end(life);
            witness.report_exit(life, &container, Exit::default()).await;
        }
        let inspect = tokio::time::timeout(LATE_WORDS_LIMIT, witness.engine.inspect(&container));
        let exit = witness.exit_of(&container, Exit::default());
        let (inspected, exit) = tokio::join!(inspect, exit);
        // The engine's event about memory may be lost; the container's state has it, too.
        let state = inspected.ok().and_then(Result::ok).and_then(|inspected| inspected.state);
        let had_no_memory = had_no_memory || state.and_then(|state| state.oom_killed).unwrap_or(false);
        let exit = Exit { last_output: exit.last_output, ..found::exit(code, had_no_memory) };
        witness.report_exit(life, &container, exit).await;
        witness.lives.told_end(life);
    }
}

/// What an event says, of whom, and of which container; nothing if we do not understand it.
fn read(message: EventMessage) -> Option<(Life, String, News)> {
    let actor = message.actor?;
    let attributes: HashMap<String, String> = actor.attributes?;
    let life = labels::life(&attributes)?;
    let news = match message.action?.as_str() {
        "die" => News::Ended { code: attributes.get("exitCode").and_then(|code| code.parse().ok()) },
        "pause" => News::Frozen(true),
        "unpause" => News::Frozen(false),
        "oom" => News::OutOfMemory,
        "destroy" => News::Removed,
        "health_status: unhealthy" => News::Health { is_bad: true },
        "health_status: healthy" => News::Health { is_bad: false },
        _ => return None,
    };
    Some((life, actor.id?, news))
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;

    use super::super::fixtures::{order, settings};
    use super::*;

    #[test]
    fn events_are_read_by_their_labels_and_unknown_ones_are_left() {
        for (action, expected) in [
            ("die", Some(News::Ended { code: Some(137) })),
            ("pause", Some(News::Frozen(true))),
            ("unpause", Some(News::Frozen(false))),
            ("oom", Some(News::OutOfMemory)),
            ("destroy", Some(News::Removed)),
            ("health_status: unhealthy", Some(News::Health { is_bad: true })),
            ("health_status: healthy", Some(News::Health { is_bad: false })),
            ("exec_start: sh", None),
        ] {
            let mut attributes = labels::of(&settings(), &order());
            attributes.insert("exitCode".into(), "137".into());
            let actor = EventActor { id: Some("abc".into()), attributes: Some(attributes) };
            let message =
                EventMessage { action: Some(action.into()), actor: Some(actor), ..Default::default() };
            let expected = expected.map(|news| (order().life, "abc".to_string(), news));
            assert_eq!(read(message), expected, "{action}");
        }
        assert_eq!(read(EventMessage::default()), None);
    }
}

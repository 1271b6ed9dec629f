//! Whether a request that failed may be sent again: the one place that knows the rule. Pure: what has
//! happened and what is left of the request go in, a decision comes out; who pays for it is asked last.
//!
//! A request is sent again when nothing of it was sent, or when its method is idempotent, its body can
//! still be sent from the beginning, and its client has seen nothing of a response.

use crate::respond::failure::Replay;
use crate::settings::REPLAYS_MAX;
use crate::travel::history::History;

/// How often one request may fail to get a connection, however short the time for it is.
const UNREACHED_MAX: usize = 100;

/// What is left of a request whose last attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remains {
    pub(crate) is_idempotent: bool,
    /// The body can still be sent from its beginning.
    pub(crate) is_body_whole: bool,
    /// It was begun on a connection that took nothing of it, and lies here as it was.
    pub(crate) is_unsent: bool,
    /// The client has seen an interim response.
    pub(crate) has_interim: bool,
}

/// What is to become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is sent again, for nothing: no replica has worked on it.
    Replay,
    /// It is sent again if the budget allows: a replica may have worked on it.
    ReplayAtCost,
    /// Its failure is the last word.
    GiveUp,
}

/// Whether a request may be sent again, after the last of its attempts failed. One that kills whoever works on
/// it must not go through a whole fleet: it is sent again so many times after a replica was lost with it. Only
/// its own losses count, whatever was lost beside it.
pub(crate) fn may_replay(history: &History, remains: Remains, retries: u32) -> Decision {
    let Some(failure) = history.last_failure() else { return Decision::GiveUp };
    let is_too_dear = failure.is_loss() && history.losses() > retries as usize;
    let can_go_on =
        remains.can_be_sent() && !remains.has_interim && is_within_limits(history) && !is_too_dear;
    match failure.replay() {
        Replay::Always if can_go_on => Decision::Replay,
        Replay::IfIdempotent if can_go_on && remains.is_replayable() => Decision::ReplayAtCost,
        Replay::Always | Replay::IfIdempotent | Replay::Never => Decision::GiveUp,
    }
}

/// Attempts that got no connection are counted by themselves: they cost nobody anything.
fn is_within_limits(history: &History) -> bool {
    let unreached = history.unreached();
    unreached < UNREACHED_MAX && history.len() - unreached < REPLAYS_MAX
}

impl Remains {
    /// Whether it may be sent again after a replica may have acted on it.
    pub(crate) fn is_replayable(self) -> bool {
        self.is_idempotent && self.is_body_whole
    }

    /// Whether there is something to send in another attempt.
    pub(crate) fn can_be_sent(self) -> bool {
        self.is_body_whole || self.is_unsent
    }
}

#[cfg(test)]
mod tests {
    use fleet::Life;
    use h1::BadHead;
    use placement::Seat;

    use super::*;
    use crate::respond::failure::Failure;
    use crate::travel::history::Attempt;
    use Decision::{GiveUp, Replay as Again, ReplayAtCost};
    use Failure::{
        Abandoned, BodyTooLarge, Broken, ClientBroke, ClientLeft, ClientTooSlow, CutOff, Distrusted, Garbled,
        OutOfSockets, Refused, TimedOut, TookTooLong, Unreachable, Unsent,
    };

    /// A GET without a body, or a PUT whose body is kept.
    const GET: Remains =
        Remains { is_idempotent: true, is_body_whole: true, is_unsent: false, has_interim: false };
    /// A PUT of whose body more has gone than is kept.
    const LARGE_PUT: Remains = Remains { is_body_whole: false, ..GET };
    /// A POST without a body, or one of which nothing has gone.
    const POST: Remains = Remains { is_idempotent: false, ..GET };
    /// A POST of whose body some has gone.
    const BEGUN_POST: Remains = Remains { is_body_whole: false, ..POST };
    /// A POST that was begun on a connection which was gone, and was taken back from it.
    const POST_TAKEN_BACK: Remains = Remains { is_unsent: true, ..BEGUN_POST };
    const GET_WITH_INTERIM: Remains = Remains { has_interim: true, ..GET };
    const POST_WITH_INTERIM: Remains = Remains { has_interim: true, ..POST };

    /// Each attempt with a replica of its own.
    fn each_elsewhere(failures: &[Failure]) -> History {
        let seats: Vec<u32> = (1..).take(failures.len()).collect();
        at_seats(&seats, failures)
    }

    fn at_seats(seats: &[u32], failures: &[Failure]) -> History {
        let mut history = History::default();
        for (seat, failure) in seats.iter().zip(failures) {
            let life = Life { seat: Seat::new(*seat).unwrap(), incarnation: 1 };
            history.add(Attempt { life, failure: *failure, was_worn: false });
        }
        history
    }

    /// How many more times it is sent where nothing else is configured.
    const RETRIES: u32 = 1;

    fn check(claim: &str, history: &History, remains: Remains, decision: Decision) {
        assert_eq!(may_replay(history, remains, RETRIES), decision, "{claim}");
    }

    #[test]
    fn one_failure_and_what_is_left_decide() {
        for (claim, failure, remains, decision) in [
            ("nobody listens there, and a POST is as good as a GET", Refused, POST, Again),
            ("a GET goes on, too", Refused, GET, Again),
            ("no connection in time is nothing sent", Unreachable, POST, Again),
            ("nothing was sent, the body can begin anew", Unsent, POST, Again),
            ("nothing was sent, the request was taken back", Unsent, POST_TAKEN_BACK, Again),
            ("nothing was sent, but the body is gone", Unsent, BEGUN_POST, GiveUp),
            ("a large PUT is gone as well", Unsent, LARGE_PUT, GiveUp),
            ("a replica may have worked on a GET", Broken, GET, ReplayAtCost),
            ("a replica may have done what a POST says", Broken, POST, GiveUp),
            ("taken back or not", Broken, POST_TAKEN_BACK, GiveUp),
            ("a PUT whose body is gone", Broken, LARGE_PUT, GiveUp),
            ("a replica that was given up", Abandoned, GET, ReplayAtCost),
            ("a POST stays with a replica that was given up", Abandoned, POST, GiveUp),
            ("a PUT that is gone stays, too", Abandoned, LARGE_PUT, GiveUp),
            ("who pays was asked before the response was thrown away", Distrusted, GET, Again),
            ("every replica could be kept busy as long", TimedOut, GET, GiveUp),
            ("the request's own time is over", TookTooLong, GET, GiveUp),
            ("what came was no HTTP", Garbled, GET, GiveUp),
            ("never after the client has gone", ClientLeft, GET, GiveUp),
            ("the client's body broke off", ClientBroke, GET, GiveUp),
            ("the client's body came too slowly", ClientTooSlow, GET, GiveUp),
            ("the body is too large everywhere", BodyTooLarge, GET, GiveUp),
            ("no socket is left for another replica either", OutOfSockets, GET, GiveUp),
            ("a head that HTTP/2 has no words for", Failure::BadHead(BadHead::Target), GET, GiveUp),
            ("the client has seen an interim response", Broken, GET_WITH_INTERIM, GiveUp),
            ("it has, and nothing of this attempt was sent", Unsent, POST_WITH_INTERIM, GiveUp),
            ("it has, and the replica was given up", Abandoned, GET_WITH_INTERIM, GiveUp),
        ] {
            check(claim, &each_elsewhere(&[failure]), remains, decision);
        }
    }

    #[test]
    fn limits_hold_however_the_failures_are_mixed() {
        let after = |earlier: usize, failure: Failure, last: Failure| {
            let mut failures = vec![failure; earlier];
            failures.push(last);
            each_elsewhere(&failures)
        };
        let both = |refused: usize, unreached: usize, last: Failure| {
            let mut failures = vec![Refused; refused];
            failures.extend(vec![Unreachable; unreached]);
            failures.push(last);
            each_elsewhere(&failures)
        };
        for (claim, history, remains, decision) in [
            ("fifteen replays", after(14, Refused, Refused), POST, Again),
            ("no sixteenth", after(15, Refused, Refused), POST, GiveUp),
            ("whatever they failed by", after(15, Distrusted, Refused), GET, GiveUp),
            ("a full queue is asked again and again", after(98, Unreachable, Unreachable), POST, Again),
            ("but not for ever", after(99, Unreachable, Unreachable), POST, GiveUp),
            ("full queues do not count as replays", both(14, 99, Refused), POST, Again),
            ("replays count in between", both(16, 0, Unreachable), POST, GiveUp),
            ("the hundredth full queue ends it for the others, too", both(0, 100, Refused), GET, GiveUp),
            ("one replica was lost with it", each_elsewhere(&[Broken]), GET, ReplayAtCost),
            ("the second is the last", each_elsewhere(&[Broken; 2]), GET, GiveUp),
            ("but nobody dies twice", at_seats(&[1, 1], &[Broken; 2]), GET, ReplayAtCost),
            ("another one after that is the last", at_seats(&[1, 1, 2], &[Broken; 3]), GET, GiveUp),
            ("cut off is lost, too", each_elsewhere(&[CutOff]), GET, Again),
            ("as often as any", each_elsewhere(&[CutOff, CutOff]), GET, GiveUp),
            ("given up is lost, too", each_elsewhere(&[Broken, Abandoned]), GET, GiveUp),
            ("of the others nothing was sent", both(9, 50, Broken), GET, ReplayAtCost),
            ("two, and one of which nothing was sent", after(2, Broken, Refused), GET, Again),
            ("two, and one that is distrusted", after(2, Broken, Distrusted), GET, Again),
        ] {
            check(claim, &history, remains, decision);
        }
    }

    #[test]
    fn the_operator_says_how_many_more_times_a_request_is_sent() {
        for retries in [0, 1, 3] {
            for losses in 1..=5 {
                let decision = if losses <= retries { ReplayAtCost } else { GiveUp };
                let history = each_elsewhere(&vec![Broken; losses]);
                assert_eq!(may_replay(&history, GET, retries as u32), decision, "{losses} of {retries}");
            }
            let unsent = each_elsewhere(&[Unsent]);
            assert_eq!(may_replay(&unsent, GET, retries as u32), Again, "nothing was sent");
        }
    }

    #[test]
    fn the_documentation_names_the_limits() {
        let documentation = include_str!("../../../../docs/operation.md");
        let apart = "those for which no connection came about are counted by themselves, up to";
        let limit = format!("| {REPLAYS_MAX}; {apart} {UNREACHED_MAX} |");
        assert!(documentation.contains(&limit), "docs/operation.md does not say: {limit}");
    }

    #[test]
    fn a_request_that_has_not_failed_is_not_sent_again() {
        check("no attempt", &History::default(), GET, GiveUp);
    }
}

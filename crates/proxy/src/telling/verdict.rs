//! What an attempt says about its replica: nothing, that it answers well, or that it does not. It is
//! noted on the replica itself; only a run of failures is told to the reconciler.

use fleet::{Claim, Suspicion, SuspicionKind};
use tokio::sync::mpsc;

use crate::respond::failure::Failure;
use crate::telling::access_log::line::Ending;

/// Of how many attempts of a worker with a service one is timed. A power of two.
pub(crate) const TIMED_PARTS: u64 = 2;

/// What is to be noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Bad,
    /// It was not the replica that decided how it ended.
    None,
}

impl Verdict {
    /// Of the head of a response. The others of this class are about the request.
    pub(crate) fn of_status(status: u16) -> Self {
        if matches!(status, 500 | 502..=504) { Self::Bad } else { Self::Good }
    }

    /// Of how a response ended whose head was good.
    pub(crate) fn of_ending(ending: Ending) -> Self {
        match ending {
            Ending::Complete => Self::Good,
            Ending::ReplicaFailed => Self::Bad,
            Ending::ClientLeft | Ending::FileFailed | Ending::HungUp => Self::None,
        }
    }

    /// Of an attempt that brought no response. A connection that was kept may break without the replica
    /// being at fault; whoever does not listen, or was given up, is the heartbeats' affair.
    pub(crate) fn of_failure(failure: Failure, was_kept: bool) -> Self {
        match failure {
            Failure::Garbled | Failure::TimedOut => Self::Bad,
            Failure::Broken if !was_kept => Self::Bad,
            _ => Self::None,
        }
    }

    /// Notes it.
    pub(crate) fn note(self, claim: &Claim, suspicions: &mpsc::Sender<Suspicion>) {
        match self {
            Self::None => {}
            Self::Good => claim.responses.note_success(),
            Self::Bad => {
                let is_enough = claim.responses.note_failure();
                // Half-open one failure is enough.
                if is_enough || (claim.is_half_open() && claim.responses.are_counted()) {
                    let suspicion = Suspicion { life: claim.life, kind: SuspicionKind::Failing };
                    // Full or closed: it is told again if the failures go on.
                    let _ = suspicions.try_send(suspicion);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_the_replicas_fault_speaks_against_it() {
        for (status, verdict) in [
            (200, Verdict::Good),
            (404, Verdict::Good),
            (499, Verdict::Good),
            (500, Verdict::Bad),
            (501, Verdict::Good),
            (502, Verdict::Bad),
            (503, Verdict::Bad),
            (504, Verdict::Bad),
            (505, Verdict::Good),
        ] {
            assert_eq!(Verdict::of_status(status), verdict, "{status}");
        }
        for (failure, was_kept, verdict) in [
            (Failure::Broken, false, Verdict::Bad),
            (Failure::Broken, true, Verdict::None),
            (Failure::Garbled, true, Verdict::Bad),
            (Failure::TimedOut, true, Verdict::Bad),
            (Failure::ClientLeft, false, Verdict::None),
            (Failure::ClientTooSlow, false, Verdict::None),
            (Failure::Refused, false, Verdict::None),
            (Failure::OutOfSockets, false, Verdict::None),
        ] {
            assert_eq!(Verdict::of_failure(failure, was_kept), verdict, "{failure:?}");
        }
        assert_eq!(Verdict::of_ending(Ending::ClientLeft), Verdict::None);
    }
}

//! Clients that have said that they send nothing more. Some of them wait for their answer, and others have gone
//! altogether: TCP says the same of both. To somebody who is still there a `100 Continue` says nothing (RFC 9110,
//! 15.2), and where nobody is the system answers it with a reset. So who is waited for longer is asked that way,
//! as long as nothing of the answer was sent: from then on, what is sent of it tells.

use std::rc::Rc;
use std::task::Context;
use std::time::{Duration, Instant};

use crate::wire::deadlines::{Deadline, Deadlines, TICK};

/// After how long it is asked first. Each time after that takes twice as long.
const FIRST_QUESTION: Duration = Duration::from_secs(1);
/// How often it is asked. Some clients bear no more than five answers before the one that counts.
pub(super) const QUESTIONS_MAX: u32 = 4;
/// How often it is looked whether there was a reset.
const LOOK_INTERVAL: Duration = TICK.saturating_mul(3);

/// What it is asked.
pub(super) const QUESTION: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How often, and when, a client was asked whether it is there.
pub(super) struct Questions {
    deadline: Deadline,
    next: Instant,
    asked: u32,
}

impl Questions {
    pub(super) fn begin(deadlines: &Rc<Deadlines>) -> Self {
        let next = deadlines.now() + FIRST_QUESTION;
        Self { deadline: deadlines.join(), next, asked: 0 }
    }

    /// Whether it is time for another one. Sees to it that it will be looked again.
    pub(super) fn is_due(&mut self, context: &mut Context<'_>) -> bool {
        let now = self.deadline.now();
        self.deadline.register(context.waker());
        self.deadline.wake_at(Some(now + LOOK_INTERVAL));
        if self.asked == QUESTIONS_MAX || now < self.next {
            return false;
        }
        self.asked += 1;
        self.next = now + FIRST_QUESTION * (1 << self.asked);
        true
    }
}

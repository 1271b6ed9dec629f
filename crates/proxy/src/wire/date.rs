//! The value of `Date`, written anew at most once a second.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

/// How old the text may be.
const AGE_MAX: Duration = Duration::from_millis(500);

/// Remembers the text of this second.
pub(crate) struct Date {
    written: Cell<SystemTime>,
    text: RefCell<Rc<str>>,
}

impl Default for Date {
    fn default() -> Self {
        Self { written: Cell::new(SystemTime::UNIX_EPOCH), text: RefCell::new(Rc::from("")) }
    }
}

impl Date {
    /// The time now, as RFC 9110, 5.6.7 has it.
    pub(crate) fn text(&self) -> Rc<str> {
        let now = SystemTime::now();
        // A clock that was set back makes an age of its own.
        let is_fresh = now.duration_since(self.written.get()).is_ok_and(|age| age < AGE_MAX);
        if !is_fresh {
            self.written.set(now);
            *self.text.borrow_mut() = Rc::from(httpdate::fmt_http_date(now));
        }
        Rc::clone(&self.text.borrow())
    }
}

//! Words for the user, as the command line's side says them.

pub(crate) use console::{complain, table};

/// A line on standard output.
macro_rules! say {
    ($($words:tt)*) => {
        console::say(format_args!($($words)*))
    };
}
pub(crate) use say;

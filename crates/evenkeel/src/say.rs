//! Words for the user. That nobody listens any more, as when a pager was closed, is no reason to stop.

use std::io::Write;

/// A line on standard output.
macro_rules! say {
    ($($words:tt)*) => {
        $crate::say::line(format_args!($($words)*))
    };
}
pub(crate) use say;

/// A line on standard output; see [`say!`].
pub(crate) fn line(words: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout().lock(), "{words}");
}

/// A line on standard error.
pub(crate) fn complain(words: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{words}");
}

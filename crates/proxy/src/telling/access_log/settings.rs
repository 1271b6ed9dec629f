//! What an operator decides about the access log.

use std::path::PathBuf;

/// Where requests are written down, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogSettings {
    /// The shape of a line.
    pub format: AccessLogFormat,
    /// Where lines go.
    pub destination: AccessLogDestination,
}

/// The shape of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// An object with all that is known.
    Json,
    /// The Common Log Format, followed by referer and user agent, as most web servers write it.
    Common,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLogDestination {
    /// The standard output of this process.
    Stdout,
    /// The standard error of this process.
    Stderr,
    /// A file that is appended to, or a named pipe. It is opened anew within a second after it was
    /// moved or removed.
    File(PathBuf),
}

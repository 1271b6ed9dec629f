//! What went wrong between us and the engine, in words for who reads the log.
//!
//! Owns the reading of the library's errors. Whether an error matters is the caller's to say.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use bollard::errors::Error as LibraryError;

use crate::DriverError;

/// Why a call to the engine brought no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The engine understood and said no.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The engine's own words.
        message: String,
    },
    /// The engine said nothing in time.
    #[error("no answer within {0:?}")]
    NoAnswer(Duration),
    /// The call did not get through, or its response did not: nobody knows whether it was done.
    #[error("{0}")]
    Lost(String),
    /// The response could not be read.
    #[error("{0}")]
    Broken(String),
}

impl CallError {
    /// Whether what the call was about is not there.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether something stands in the way, such as a name that is taken.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }

    /// Whether the engine forbids it, as it does for a network that is in use.
    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused { status: 403, .. })
    }

    /// Whether the trouble lies between us and the engine.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }

    /// The error as the driver reports it.
    pub(super) fn during(self, what: impl Into<String>) -> DriverError {
        let is_unreachable = self.is_lost();
        DriverError::caused(what, self).and_unreachable(is_unreachable)
    }
}

impl From<LibraryError> for CallError {
    fn from(error: LibraryError) -> Self {
        match error {
            LibraryError::DockerResponseServerError { status_code, message } => {
                Self::Refused { status: status_code, message: message.trim().to_string() }
            }
            LibraryError::IOError { .. }
            | LibraryError::HyperResponseError { .. }
            | LibraryError::HyperLegacyError { .. }
            | LibraryError::SocketNotFoundError(_)
            | LibraryError::RequestTimeoutError => Self::Lost(innermost(&error)),
            LibraryError::DockerStreamError { error } => Self::Broken(error.trim().to_string()),
            other => Self::Broken(innermost(&other)),
        }
    }
}

/// The cause of all causes. What lies around it in the library is layers of plumbing, each of
/// which only says that the next one failed.
fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

/// The engine cannot be talked to at all.
pub(super) fn unreachable(socket: &Path, cause: CallError) -> DriverError {
    let socket = socket.display();
    cause.during(format!(
        "cannot reach Docker at {socket} (is the engine running, and may this user use its socket?)"
    ))
}

/// The image is not here, and we do not fetch it.
pub(super) fn no_image(image: &str) -> DriverError {
    DriverError::new(format!(
        "image '{image}' is not on this host; build or pull it first (`docker pull {image}`), or say pull = \"missing\""
    ))
}

/// The image that was deployed is not here any more, and another one has its name.
pub(super) fn image_gone(name: &str, id: &str) -> DriverError {
    DriverError::new(format!(
        "the image that was deployed as '{name}' ({id}) is gone from this host, and the name means another one now, which is not \
         run instead; bring it back (`docker load`, `docker pull` by digest), or run what the name means: `evenkeel deploy`"
    ))
}

/// Whether a creation failed for want of the image.
pub(super) fn is_no_image(error: &CallError) -> bool {
    error.is_missing() && error.to_string().to_lowercase().contains("no such image")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, message: &str) -> CallError {
        LibraryError::DockerResponseServerError { status_code: status, message: message.into() }.into()
    }

    #[test]
    fn the_engines_own_words_are_the_cause() {
        let error = refused(500, "driver failed\n").during("cannot start container 'web_1'");
        assert_eq!(error.in_full(), "cannot start container 'web_1': driver failed");
    }

    #[test]
    fn an_image_that_is_missing_is_told_from_a_network_that_is() {
        for (status, message, expected) in [
            (404, "No such image: shop:1", true),
            (404, "network shop not found", false),
            (500, "No such image: shop:1", false),
        ] {
            assert_eq!(is_no_image(&refused(status, message)), expected, "{status} {message}");
        }
    }

    #[test]
    fn an_engine_that_is_down_is_told_with_its_socket_and_the_innermost_cause() {
        let cause = LibraryError::IOError { err: std::io::Error::other("permission denied") };
        let error = unreachable(Path::new("/run/x.sock"), cause.into());
        let expected = "cannot reach Docker at /run/x.sock (is the engine running, and may this user use its \
                        socket?): permission denied";
        assert_eq!(error.in_full(), expected);
    }
}

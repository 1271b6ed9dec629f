//! How requests to the admin API fail: every failure becomes a problem with its status here.

use api::Problem;
use control::EditError;
use fleet::Refusal;
use hyper::StatusCode;

/// A problem of this status.
pub(crate) fn problem(status: StatusCode, detail: impl Into<String>) -> Problem {
    let title = status.canonical_reason().unwrap_or_default();
    Problem { detail: detail.into(), status: status.as_u16(), title: title.into() }
}

pub(crate) fn not_found(detail: impl Into<String>) -> Problem {
    problem(StatusCode::NOT_FOUND, detail)
}

pub(crate) fn bad_request(detail: impl Into<String>) -> Problem {
    problem(StatusCode::BAD_REQUEST, detail)
}

/// That an edit was not done.
pub(crate) fn of_edit(error: &EditError) -> Problem {
    let status = match error {
        EditError::Refused(Refusal::Busy) | EditError::NotBegun(_) | EditError::Stopping => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        EditError::Refused(_) | EditError::NotRunnable(_) => StatusCode::CONFLICT,
        EditError::Undone(_) | EditError::NotStored(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    problem(status, error.to_string())
}

//! How requests to the admin API fail: every failure becomes a problem with its status here.

use api::Problem;
use control::EditError;
use fleet::Refusal;
use hyper::StatusCode;

/// How much is said of what is wrong with a request. No message of ours alone is longer.
const CALLERS_CHARS_MAX: usize = 240;

/// A problem of this status.
pub(crate) fn problem(status: StatusCode, detail: impl Into<String>) -> Problem {
    let title = status.canonical_reason().unwrap_or_default();
    Problem { detail: detail.into(), status: status.as_u16(), title: title.into() }
}

pub(crate) fn not_found(detail: impl Into<String>) -> Problem {
    problem(StatusCode::NOT_FOUND, detail)
}

/// What a caller has written may be in it, however long that is: of that, the beginning says enough.
pub(crate) fn bad_request(detail: impl Into<String>) -> Problem {
    let mut detail = detail.into();
    if let Some((end, _)) = detail.char_indices().nth(CALLERS_CHARS_MAX) {
        let more = format!("… ({} more bytes)", detail.len() - end);
        detail.truncate(end);
        detail += &more;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_has_written_comes_back_in_part() {
        assert_eq!(bad_request("no").detail, "no");
        let fits = "é".repeat(CALLERS_CHARS_MAX);
        assert_eq!(bad_request(fits.as_str()).detail, fits);
        assert_eq!(bad_request(format!("{fits}é!")).detail, format!("{fits}… (3 more bytes)"));
        let key = "k".repeat(60_000);
        let body = format!("{{\"{key}\": 1}}");
        let problem = crate::bodies::parse_json::<api::EditShape>(body.as_bytes()).unwrap_err();
        assert!(
            problem.detail.contains("unknown field `kkk") && problem.detail.len() < 1024,
            "{}",
            problem.detail
        );
    }
}

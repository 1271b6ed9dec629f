//! Checks: whether a response is the right one, and whose it is.

use crate::response::Response;
use crate::tally::Loss;

/// Says who answered (an empty name where nobody can know), or what is wrong with the response.
pub type Check = Box<dyn for<'a> Fn(&Response<'a>) -> Result<&'a str, Loss> + Send>;

/// What stands in front of a replica's id in the contract's `/home`.
const GREETING: &str = "Hello from Server: ";

/// The check of the contract's `/home`: 200, the message and `"status":"successful"`, however the
/// JSON is spaced.
pub fn contract_home() -> Check {
    Box::new(|response| {
        if response.status != 200 {
            return Err(Loss::BadStatus);
        }
        let name = replica_of(response.body).ok_or(Loss::BadBody)?;
        let text = std::str::from_utf8(response.body).unwrap_or_default();
        let says = |word: &str| text.contains(word);
        if says("\"status\"") && says("\"successful\"") { Ok(name) } else { Err(Loss::BadBody) }
    })
}

/// The check of any path: this status, and the body as long as it says. Who answered is taken from a
/// body like the contract's, if there is one.
pub fn status(expected: u16) -> Check {
    Box::new(move |response| match response.status {
        status if status == expected => Ok(replica_of(response.body).unwrap_or_default()),
        _ => Err(Loss::BadStatus),
    })
}

/// The replica's id in a body of the contract's `/home`.
pub(crate) fn replica_of(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let (before, rest) = text.split_once(GREETING)?;
    let (name, _) = rest.split_once('"')?;
    let is_json = before.starts_with('{') && text.trim_end().ends_with('}');
    (is_json && before.contains("\"message\"") && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(check: &Check, status: u16, body: &str) -> Result<String, Loss> {
        check(&Response { status, head: b"", body: body.as_bytes() }).map(str::to_owned)
    }

    #[test]
    fn home_is_right_only_with_its_status_its_message_and_its_success() {
        let check = contract_home();
        let good = r#"{"message":"Hello from Server: S5","status":"successful"}"#;
        let spaced = "{\"status\": \"successful\",\n \"message\": \"Hello from Server: S5\"}\n";
        assert_eq!(verdict(&check, 200, good), Ok("S5".into()));
        assert_eq!(verdict(&check, 200, spaced), Ok("S5".into()));
        assert_eq!(verdict(&check, 503, good), Err(Loss::BadStatus));
        for bad in ["", "hello", &good[..40], &good.replace("successful", "failure"), &good.replace("S5", "")]
        {
            assert_eq!(verdict(&check, 200, bad), Err(Loss::BadBody), "{bad}");
        }
    }

    #[test]
    fn any_other_path_has_to_keep_its_status() {
        let check = status(400);
        assert_eq!(verdict(&check, 400, "whatever"), Ok(String::new()));
        assert_eq!(verdict(&check, 200, "whatever"), Err(Loss::BadStatus));
    }
}

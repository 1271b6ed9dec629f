//! What a request must pass between its route and the first attempt: a flat list, in order, of which the
//! first objection is the last word. A limit, a redirect or a question for a password is one more line
//! here. Nothing is read from the client, and no replica is chosen.

use h1::{Method, RequestHead};

use crate::respond::failure::Failure;
use crate::service::Service;

/// The service that the request may go to.
pub(crate) fn pass<'a>(service: Option<&'a Service>, head: &RequestHead) -> Result<&'a Service, Failure> {
    is_method_forwarded(head)?;
    service.ok_or(Failure::NoService)
}

/// The bytes behind a CONNECT would be for whoever it names, and a TRACE gives back what others have added.
fn is_method_forwarded(head: &RequestHead) -> Result<(), Failure> {
    match head.method() {
        Method::Connect | Method::Trace => Err(Failure::MethodNotForwarded),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_objection_is_the_last_word() {
        for (method, target, failure) in [
            ("CONNECT", "example.com:443", Failure::MethodNotForwarded),
            ("TRACE", "/", Failure::MethodNotForwarded),
            ("OPTIONS", "*", Failure::NoService),
            ("GET", "/", Failure::NoService),
        ] {
            let mut head = RequestHead::default();
            head.start(method.as_bytes(), target.as_bytes(), None).unwrap();
            assert_eq!(pass(None, &head).err(), Some(failure), "{method}");
        }
    }
}

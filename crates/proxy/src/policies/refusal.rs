//! What a request gets from a policy instead of what it has asked for.

use std::borrow::Cow;

use crate::policies::mark::Mark;

/// The answer of a policy that does not let a request pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicyAnswer {
    /// What is counted and written down.
    pub(crate) mark: Mark,
    pub(crate) status: u16,
    /// What its client is told, and the access log as the reason; nothing where the status says all.
    pub(crate) text: Option<Cow<'static, str>>,
    /// What the response says beside it: `Location`, `Retry-After`, `WWW-Authenticate`. Names in lower case.
    pub(crate) fields: Vec<AnswerField>,
}

impl PolicyAnswer {
    /// For who announces a larger body than is taken.
    pub(crate) fn body_too_large() -> Self {
        let text = Some("the request body is too large".into());
        Self { mark: Mark::BodyRefused, status: 413, text, fields: Vec::new() }
    }
}

/// A field of such an answer; both parts are valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AnswerField {
    pub(crate) name: &'static str,
    pub(crate) value: Vec<u8>,
}

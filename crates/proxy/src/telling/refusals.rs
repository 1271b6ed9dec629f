//! Requests that were refused before any service had them, by reason. Their lines are in the access log, as
//! those of all others.

use h1::BadHead;

use crate::respond::failure::Failure;
use crate::telling::tally::Tally;

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The head is no head, by its lines or characters.
    Malformed,
    Target,
    Host,
    /// It is not certain how long its body is.
    Length,
    Version,
    Expectation,
    TargetTooLong,
    HeadTooLarge,
    OddPath,
    Method,
    NoService,
    TooSlow,
    /// Its HTTP/2 connection takes no further one.
    Stream,
    /// The client left before its head was whole.
    BrokenOff,
}

impl Refusal {
    const ALL: [Self; 14] = [
        Self::Malformed,
        Self::Target,
        Self::Host,
        Self::Length,
        Self::Version,
        Self::Expectation,
        Self::TargetTooLong,
        Self::HeadTooLarge,
        Self::OddPath,
        Self::Method,
        Self::NoService,
        Self::TooSlow,
        Self::Stream,
        Self::BrokenOff,
    ];

    /// What a failure is for one whose request has come to no service.
    fn of(failure: Failure) -> Self {
        match failure {
            Failure::BadHead(fault) => Self::of_head(fault),
            Failure::OddPath(_) => Self::OddPath,
            Failure::MethodNotForwarded => Self::Method,
            Failure::NoService => Self::NoService,
            Failure::ClientTooSlow => Self::TooSlow,
            Failure::StreamRefused => Self::Stream,
            _ => Self::BrokenOff,
        }
    }

    fn of_head(fault: BadHead) -> Self {
        match fault {
            BadHead::BareLineFeed | BadHead::ControlCharacter | BadHead::RequestLine => Self::Malformed,
            BadHead::StatusLine | BadHead::Folded | BadHead::FieldName => Self::Malformed,
            BadHead::Underscore | BadHead::PseudoFields | BadHead::ConnectionField => Self::Malformed,
            BadHead::Target => Self::Target,
            BadHead::Host | BadHead::HostDisagrees => Self::Host,
            BadHead::ContentLength | BadHead::TwoLengths => Self::Length,
            BadHead::TransferEncodingInHttp10 | BadHead::TransferEncoding | BadHead::ChunkedNotLast => {
                Self::Length
            }
            BadHead::Version => Self::Version,
            BadHead::Expectation => Self::Expectation,
            BadHead::RequestLineTooLong => Self::TargetTooLong,
            BadHead::TooLarge | BadHead::TooManyFields => Self::HeadTooLarge,
        }
    }

    /// Its name in metrics.
    fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Target => "target",
            Self::Host => "host",
            Self::Length => "length",
            Self::Version => "version",
            Self::Expectation => "expectation",
            Self::TargetTooLong => "target_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::OddPath => "odd_path",
            Self::Method => "method",
            Self::NoService => "no_service",
            Self::TooSlow => "too_slow",
            Self::Stream => "stream",
            Self::BrokenOff => "broken_off",
        }
    }
}

/// What all workers have refused.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    tally: Tally<{ Refusal::ALL.len() }>,
}

impl Refusals {
    /// A request came to this, before any service had it.
    pub(crate) fn count(&self, failure: Failure) {
        let _ = self.tally.add(Refusal::of(failure) as usize);
    }

    /// How many there were, by reason.
    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        let count = |refusal: Refusal| (refusal.name(), self.tally.count(refusal as usize));
        Refusal::ALL.into_iter().map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_place() {
        for (place, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, place, "{refusal:?}");
        }
    }
}

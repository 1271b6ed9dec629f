//! What policies did with requests: one list, by which they are counted, and named in the access log.

use std::cell::Cell;

/// What a policy did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It was sent elsewhere.
    Redirected,
    /// Its client comes from a network that is not let in.
    NetworkRefused,
    /// Its client has shown no certificate.
    CertificateMissing,
    /// It came faster than it may.
    RateLimited,
    /// Its body is larger than it may be.
    BodyRefused,
    /// It had no name and password, or wrong ones.
    SignInRefused,
    /// Whether its password is right could not be found out.
    SignInBusy,
    /// Another service has answered it, which lets only some pass.
    ForwardRefused,
    /// That service did not say whether it may pass.
    NotVouchedFor,
    /// Its replica gets another path.
    Rewritten,
    /// Fields were set, added or removed on its way in.
    RequestEdited,
    /// The same on the way out.
    ResponseEdited,
    /// It began a session, which has a seat now.
    SessionBegun,
    /// It was answered in the seat where its session is.
    SessionKept,
    /// It was answered elsewhere, because nobody in that seat could. The session goes back.
    SessionAway,
    /// That seat is gone, and the session has another one now.
    SessionMoved,
    /// Its response was compressed.
    Compressed,
    /// A page stood for its error.
    ErrorPage,
    /// It went to a canary, because it asked for that.
    CanaryAsked,
    /// The same, because its session had begun there.
    CanarySession,
    /// The same, because it is among the share that does.
    CanaryShare,
    /// A copy of it went to a mirror.
    Mirrored,
    /// None did, because there are too many, or not all of it was kept.
    MirrorSkipped,
}

impl Mark {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 23] = [
        Self::Redirected,
        Self::NetworkRefused,
        Self::CertificateMissing,
        Self::RateLimited,
        Self::BodyRefused,
        Self::SignInRefused,
        Self::SignInBusy,
        Self::ForwardRefused,
        Self::NotVouchedFor,
        Self::Rewritten,
        Self::RequestEdited,
        Self::ResponseEdited,
        Self::SessionBegun,
        Self::SessionKept,
        Self::SessionAway,
        Self::SessionMoved,
        Self::Compressed,
        Self::ErrorPage,
        Self::CanaryAsked,
        Self::CanarySession,
        Self::CanaryShare,
        Self::Mirrored,
        Self::MirrorSkipped,
    ];

    /// The name of the policy, in the access log, in metrics and in `explain`.
    pub fn policy(self) -> &'static str {
        match self {
            Self::Redirected => "redirect",
            Self::NetworkRefused => "networks",
            Self::CertificateMissing => "client_certificate",
            Self::RateLimited => "rate_limit",
            Self::BodyRefused => "max_body",
            Self::SignInRefused | Self::SignInBusy => "basic_auth",
            Self::ForwardRefused | Self::NotVouchedFor => "forward_auth",
            Self::Rewritten => "rewrite",
            Self::RequestEdited => "request_headers",
            Self::ResponseEdited => "response_headers",
            Self::SessionBegun | Self::SessionKept | Self::SessionAway | Self::SessionMoved => "sticky",
            Self::Compressed => "compression",
            Self::ErrorPage => "error_pages",
            Self::CanaryAsked | Self::CanarySession | Self::CanaryShare => "canary",
            Self::Mirrored | Self::MirrorSkipped => "mirror",
        }
    }

    /// What it did, in metrics.
    pub fn outcome(self) -> &'static str {
        match self {
            Self::Redirected => "redirected",
            Self::NetworkRefused | Self::RateLimited | Self::BodyRefused => "refused",
            Self::SignInRefused | Self::ForwardRefused | Self::CertificateMissing => "refused",
            Self::NotVouchedFor => "unanswered",
            Self::SignInBusy => "busy",
            Self::Rewritten => "rewritten",
            Self::RequestEdited | Self::ResponseEdited => "edited",
            Self::SessionBegun => "begun",
            Self::SessionKept => "kept",
            Self::SessionAway => "away",
            Self::SessionMoved => "moved",
            Self::Compressed => "compressed",
            Self::ErrorPage => "replaced",
            Self::CanaryAsked => "asked",
            Self::CanarySession => "session",
            Self::CanaryShare => "share",
            Self::Mirrored => "copied",
            Self::MirrorSkipped => "skipped",
        }
    }

    /// What stands in the access log: the name of the policy, and of a session, a canary or a mirror what became of it.
    fn logged(self) -> &'static str {
        match self {
            Self::Redirected | Self::NetworkRefused | Self::RateLimited | Self::BodyRefused => self.policy(),
            Self::SignInRefused | Self::SignInBusy => self.policy(),
            Self::ForwardRefused | Self::NotVouchedFor | Self::CertificateMissing => self.policy(),
            Self::Rewritten | Self::RequestEdited | Self::ResponseEdited => self.policy(),
            Self::SessionBegun => "sticky begun",
            Self::SessionKept => "sticky kept",
            Self::SessionAway => "sticky away",
            Self::SessionMoved => "sticky moved",
            Self::Compressed | Self::ErrorPage => self.policy(),
            Self::CanaryAsked => "canary asked",
            Self::CanarySession => "canary session",
            Self::CanaryShare => "canary share",
            Self::Mirrored => "mirror copied",
            Self::MirrorSkipped => "mirror skipped",
        }
    }
}

/// The marks that one request has.
#[derive(Debug, Default)]
pub(crate) struct Marks(Cell<u32>);

// Each has a bit.
const _: () = assert!(Mark::ALL.len() <= 32);

impl Marks {
    /// Adds one; whether it is new.
    pub(crate) fn add(&self, mark: Mark) -> bool {
        let (before, bit) = (self.0.get(), 1 << mark as u32);
        self.0.set(before | bit);
        before & bit == 0
    }

    /// The names of their policies, each once, for a log.
    pub(crate) fn text(&self) -> Option<String> {
        let marked = Mark::ALL.into_iter().filter(|mark| self.0.get() & 1 << *mark as u32 != 0);
        let mut names: Vec<&str> = marked.map(Mark::logged).collect();
        names.dedup();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mark_has_its_place_and_a_request_can_have_several() {
        let marks = Marks::default();
        assert_eq!(marks.text(), None);
        for (place, mark) in Mark::ALL.into_iter().enumerate() {
            assert_eq!(mark as usize, place, "{mark:?}");
            assert!(marks.add(mark) && !marks.add(mark), "{mark:?}");
        }
        let all = "redirect, networks, client_certificate, rate_limit, max_body, basic_auth, forward_auth, rewrite, request_headers, \
                   response_headers, sticky begun, sticky kept, sticky away, sticky moved, compression, error_pages, canary asked, \
                   canary session, canary share, mirror copied, mirror skipped";
        assert_eq!(marks.text().as_deref(), Some(all));
    }
}

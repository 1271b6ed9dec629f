//! The ways in which h1 and another reader may differ: each has a name, a reason, and a count.

use std::collections::BTreeMap;

/// What the other reader accepts and h1 does not, or reads in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// httparse ends lines at a line feed alone.
    BareLineFeed,
    /// httparse passes over any number of empty lines in front; h1 over one, and before requests only.
    EmptyLines,
    /// httparse knows no forms of targets, and lets `#`, backslashes in paths and bytes above 0x7F pass.
    Target,
    /// httparse does not look at `Host`.
    Host,
    /// Nor does it compare it with the target.
    HostDisagrees,
    /// Nor does it read lengths.
    ContentLength,
    /// `Content-Length` and `Transfer-Encoding`.
    TwoLengths,
    /// `Transfer-Encoding` in HTTP/1.0.
    CodingInHttp10,
    /// A coding that is not `chunked` alone.
    Coding,
    /// An expectation that is not `100-continue`.
    Expectation,
    /// httparse knows no limit but the number of fields, which is higher here; hyper none for the line
    /// with the size of a chunk.
    Limit,
    /// h1 looks for the end of the head first, and judges it then; httparse judges what is there.
    HeldBack,
    /// httparse takes any three digits for a status, `099` too.
    StatusOutOfRange,
    /// httparse leaves a reason out that holds bytes above 0x7F.
    ReasonLeftOut,
    /// hyper reads a head that h1 refuses for one of the reasons above.
    RefusedHead,
    /// hyper refuses a target that is none of a URI, as one with `"` in it.
    NoUri,
    /// hyper lets white space stand behind the size of a chunk.
    SpaceAfterSize,
    /// hyper lets control characters stand in the extensions of a chunk.
    ControlInExtension,
    /// hyper reads sizes with any number of zeros in front.
    LongSize,
    /// hyper ends the fields of a trailer section at a bare line feed and drops what follows, up to the
    /// next empty line that ends as it should: that can be the head of another request.
    SwallowedByTrailers,
}

/// How often readers agreed, and how they differed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) accepted: usize,
    pub(crate) refused: usize,
    pub(crate) unfinished: usize,
    pub(crate) differences: BTreeMap<Class, usize>,
}

impl Tally {
    pub(crate) fn count(&mut self, class: Class) {
        *self.differences.entry(class).or_default() += 1;
    }

    /// Whether inputs were as different as they should be: all of these classes occurred and no others.
    #[cfg(test)]
    pub(crate) fn assert_occurred(&self, classes: &[Class]) {
        println!("{self:#?}");
        let occurred: Vec<Class> = self.differences.keys().copied().collect();
        let mut expected = classes.to_vec();
        expected.sort_unstable();
        assert_eq!(occurred, expected);
        assert!(self.accepted > 0 && self.refused > 0, "{self:?}");
    }
}

/// A difference that nobody has explained.
#[track_caller]
pub(crate) fn unexplained(bytes: &[u8], what: &str) -> ! {
    panic!("{what}\nin b\"{}\"", bytes.escape_ascii());
}

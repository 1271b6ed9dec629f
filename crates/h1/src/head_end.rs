//! Where a head ends. It comes in pieces, and no byte of it is looked at twice on the way.

use memchr::memchr;

use crate::lines::Lines;
use crate::{BadHead, HeadLimits};

/// Looks for the empty line at the end of a head that is still arriving. One empty line may come before
/// a request (some clients send it after a body: RFC 9112, 2.2); it belongs to the head.
#[derive(Clone, Debug, Default)]
pub struct HeadEnd {
    line_start: usize,
    seen: usize,
    lines: usize,
    begun: Lines,
}

/// What cannot become a head that passes, and which byte would be the first too many.
struct Misfit {
    place: usize,
    fault: BadHead,
}

impl HeadEnd {
    /// The length of the head, if all of it is among these bytes. They begin with the head; each call
    /// brings the bytes of the last one and what came since. What cannot become a head that passes
    /// is an error at once, whatever kind of head it is.
    pub fn find(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, BadHead> {
        self.look(bytes, limits).map_err(|misfit| misfit.fault)
    }

    /// The same for the head of a request, of which each line that has come must be one of a request, too:
    /// of what is whole, [`RequestHead::parse`](crate::RequestHead::parse) says it.
    pub fn find_in_request(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, BadHead> {
        let found = self.look(bytes, limits);
        let sound = match &found {
            Ok(Some(_)) => return found.map_err(|misfit| misfit.fault),
            Ok(None) => bytes,
            Err(misfit) => &bytes[..misfit.place],
        };
        self.begun.check(sound, self.line_start, limits)?;
        found.map_err(|misfit| misfit.fault)
    }

    fn look(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Misfit> {
        // Looked for in all that is new at once: most heads hold none.
        let control = first_control(&bytes[self.seen..]).map(|place| self.seen + place);
        while let Some(found) = memchr(b'\n', &bytes[self.seen..]) {
            let line_feed = self.seen + found;
            self.check_control(control.filter(|place| *place < line_feed), limits)?;
            self.check_size(line_feed, limits)?;
            let line = &bytes[self.line_start..line_feed];
            let Some((b'\r', line)) = line.split_last() else {
                return Err(Misfit { place: line_feed, fault: BadHead::BareLineFeed });
            };
            // It looks empty to some readers.
            if line.last() == Some(&b'\r') {
                return Err(Misfit { place: line_feed, fault: BadHead::ControlCharacter });
            }
            let is_first = self.line_start == 0;
            (self.seen, self.line_start) = (line_feed + 1, line_feed + 1);
            if line.is_empty() && is_first {
                continue;
            }
            if line.is_empty() {
                return Ok(Some(line_feed + 1));
            }
            self.lines += 1;
            // The first line is no field.
            if self.lines - 1 > limits.fields_max {
                return Err(Misfit { place: line_feed + 1, fault: BadHead::TooManyFields });
            }
        }
        // A line that has begun badly need not be waited for.
        self.check_control(control, limits)?;
        self.seen = bytes.len();
        self.check_size(bytes.len(), limits)?;
        Ok(None)
    }

    fn check_control(&self, place: Option<usize>, limits: &HeadLimits) -> Result<(), Misfit> {
        let Some(place) = place else { return Ok(()) };
        self.check_size(place, limits)?;
        Err(Misfit { place, fault: BadHead::ControlCharacter })
    }

    /// Whether a head may go on that has not ended before this byte. Of two limits the one counts that
    /// was reached first, so that the outcome does not depend on how many bytes came at once.
    fn check_size(&self, byte: usize, limits: &HeadLimits) -> Result<(), Misfit> {
        // A carriage return may follow the line yet.
        let line_end_max = self.line_start.saturating_add(limits.request_line_max).saturating_add(1);
        if self.lines == 0 && byte > line_end_max && line_end_max < limits.head_max {
            return Err(Misfit { place: line_end_max + 1, fault: BadHead::RequestLineTooLong });
        }
        let place = limits.head_max;
        if byte >= place { Err(Misfit { place, fault: BadHead::TooLarge }) } else { Ok(()) }
    }
}

/// The first control character that no head holds. Line ends are looked at elsewhere.
fn first_control(bytes: &[u8]) -> Option<usize> {
    let is_control = |byte: u8| (byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) | (byte == 0x7f);
    // Without an early exit the compiler looks at many bytes at a time.
    let is_any = bytes.iter().fold(false, |found, byte| found | is_control(*byte));
    if is_any { bytes.iter().position(|byte| is_control(*byte)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> HeadLimits {
        HeadLimits { request_line_max: 16, head_max: 48, fields_max: 2, ..HeadLimits::default() }
    }

    #[test]
    fn a_head_is_found_however_it_is_cut() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody";
        for cut in 0..bytes.len() {
            let mut end = HeadEnd::default();
            let first = end.find(&bytes[..cut], &limits()).unwrap();
            assert_eq!(first, (cut >= 27).then_some(27), "{cut}");
            if first.is_none() {
                assert_eq!(end.find(bytes, &limits()), Ok(Some(27)), "{cut}");
            }
        }
    }

    #[test]
    fn what_cannot_become_a_head_is_an_error_at_once() {
        let cases: [(&[u8], BadHead); 7] = [
            (b"GET / HTTP/1.1\n", BadHead::BareLineFeed),
            (b"\n", BadHead::BareLineFeed),
            (b"GET / HTTP/1.1\r\nA: b\n", BadHead::BareLineFeed),
            (b"GET /1234567890 H", BadHead::RequestLineTooLong),
            (b"GET / HTTP/1.1___\r\n", BadHead::RequestLineTooLong),
            (b"GET /\r\na:1\r\nb:1\r\nc:1\r\n", BadHead::TooManyFields),
            (b"GET /\r\na: 345678901234567890123456789012345678xxx", BadHead::TooLarge),
        ];
        for (bytes, fault) in cases {
            // One byte more than a line may have could still be its carriage return.
            let padded = [bytes, if fault == BadHead::RequestLineTooLong { b"x" } else { b"" }].concat();
            assert_eq!(HeadEnd::default().find(&padded, &limits()), Err(fault), "{}", bytes.escape_ascii());
        }
    }

    /// What the first bytes come to of which that is known, in a request.
    fn refused_at(bytes: &[u8]) -> Option<(usize, BadHead)> {
        let mut end = HeadEnd::default();
        let mut find = |cut: usize| end.find_in_request(&bytes[..cut], &HeadLimits::default());
        (0..=bytes.len()).find_map(|cut| Some((cut, find(cut).err()?)))
    }

    #[test]
    fn a_line_that_is_none_of_a_request_is_not_waited_for() {
        let cases: [(&[u8], usize, BadHead); 17] = [
            (b"GET /x\r\nHost: h\r\n\r\n", 8, BadHead::RequestLine),
            (b"\r\nGET /x\r\n", 10, BadHead::RequestLine),
            (b"GET /x HTTP/1.9\r\n\r\n", 17, BadHead::Version),
            (b"GET  /x HTTP/1.1\r\n\r\n", 18, BadHead::RequestLine),
            (b"GET /# HTTP/1.1\r\n\r\n", 17, BadHead::Target),
            (b"GET x HTTP/1.1\r\n\r\n", 16, BadHead::Target),
            (b"\x80\x2e\x01", 1, BadHead::RequestLine),
            (b" GET / HTTP/1.1\r\n", 1, BadHead::RequestLine),
            (b"{\"a\": 1}", 1, BadHead::RequestLine),
            (b"G(T / HTTP/1.1\r\n", 2, BadHead::RequestLine),
            (b"GET\rX", 5, BadHead::ControlCharacter),
            (b"GET\x01", 4, BadHead::ControlCharacter),
            (b"GET / HTTP/1.1\r\n folded", 17, BadHead::Folded),
            (b"GET / HTTP/1.1\r\nHost: h\r\n: b\r\n", 26, BadHead::FieldName),
            (b"GET / HTTP/1.1\r\nHost : h\r\n", 21, BadHead::FieldName),
            (b"GET / HTTP/1.1\r\nHost\r\n", 22, BadHead::FieldName),
            (b"GET / HTTP/1.1\r\na: b\rc\r\n", 24, BadHead::ControlCharacter),
        ];
        for (bytes, at, fault) in cases {
            assert_eq!(refused_at(bytes), Some((at, fault)), "{}", bytes.escape_ascii());
            let found = HeadEnd::default().find_in_request(bytes, &HeadLimits::default());
            let end = found.map(|end| end.unwrap_or_default());
            let read = end
                .and_then(|end| crate::RequestHead::default().parse(&bytes[..end], &HeadLimits::default()));
            assert_eq!(read, Err(fault), "at once: {}", bytes.escape_ascii());
        }
        for good in [&b"GET / HTTP/1.1\r\nHost: h\r\nx-y:\r\n\r\n"[..], b"\r\nPRI * HTTP", b"", b"\r"] {
            assert_eq!(refused_at(good), None, "{}", good.escape_ascii());
        }
    }

    #[test]
    fn what_is_wrong_does_not_depend_on_the_cut() {
        let short = HeadLimits { head_max: 10, ..limits() };
        let endless =
            HeadLimits { request_line_max: usize::MAX, fields_max: usize::MAX, ..HeadLimits::default() };
        let cases: [(&[u8], &HeadLimits, BadHead); 5] = [
            (b"GET /12345678901234567890\n", &limits(), BadHead::RequestLineTooLong),
            (b"GET /12345678901234567890\r\n", &short, BadHead::TooLarge),
            (b"GET /\r\na: 345678901234567890123456789012345678901234567890\n", &limits(), BadHead::TooLarge),
            (b"GET /\r\na: b\n", &endless, BadHead::BareLineFeed),
            (b"\r\nGET /12345678901234567890\n", &limits(), BadHead::RequestLineTooLong),
        ];
        for (bytes, limits, fault) in cases {
            assert_eq!(HeadEnd::default().find(bytes, limits), Err(fault), "{}", bytes.escape_ascii());
            let mut end = HeadEnd::default();
            let found = (0..=bytes.len()).find_map(|cut| end.find(&bytes[..cut], limits).err());
            assert_eq!(found, Some(fault), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn one_empty_line_may_come_before_a_request() {
        let bytes = b"\r\nGET / HTTP/1.1\r\n\r\n";
        for cut in 0..bytes.len() {
            let mut end = HeadEnd::default();
            assert_eq!(end.find(&bytes[..cut], &limits()), Ok(None), "{cut}");
            assert_eq!(end.find(bytes, &limits()), Ok(Some(20)), "{cut}");
        }
        assert_eq!(HeadEnd::default().find(b"\r\n\r\nGET /", &limits()), Ok(Some(4)));
        assert_eq!(HeadEnd::default().find(b"\r\nGET /12345678901\r\n\r\n", &limits()), Ok(Some(22)));
    }

    #[test]
    fn limits_are_exact() {
        let line = |length: usize| [&b"GET /12345678901234567890"[..length], b"\r\n\r\n"].concat();
        assert_eq!(HeadEnd::default().find(&line(16), &limits()), Ok(Some(20)));
        assert_eq!(HeadEnd::default().find(&line(17), &limits()), Err(BadHead::RequestLineTooLong));
        let head = |length: usize| {
            let mut head = b"GET /\r\na:".to_vec();
            head.resize(length - 4, b'x');
            [&head[..], b"\r\n\r\n"].concat()
        };
        assert_eq!(HeadEnd::default().find(&head(48), &limits()), Ok(Some(48)));
        assert_eq!(HeadEnd::default().find(&head(49), &limits()), Err(BadHead::TooLarge));
    }
}

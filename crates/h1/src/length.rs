//! How long a body is, as its head says. Two lengths are as good as none.

use crate::{BadHead, FieldName, Fields};

/// How a message says where its body ends: RFC 9112, 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body, and nothing says that there could be one.
    None,
    /// This many bytes.
    Exact(u64),
    /// In chunks, the last of which is empty.
    Chunked,
    /// Everything until the connection ends; responses only.
    UntilClose,
}

/// What the head says, if it says anything.
pub(crate) fn declared(fields: &Fields, is_http10: bool) -> Result<Option<BodyLength>, BadHead> {
    let mut codings = fields.all(FieldName::TransferEncoding);
    let mut lengths = fields.all(FieldName::ContentLength);
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(BadHead::TwoLengths),
        (Some(_), None) if is_http10 => Err(BadHead::TransferEncodingInHttp10),
        (Some(_), None) => check_codings(fields).map(|()| Some(BodyLength::Chunked)),
        (None, Some(length)) => {
            let length = decimal(length).filter(|_| lengths.next().is_none());
            length.map(|length| Some(BodyLength::Exact(length))).ok_or(BadHead::ContentLength)
        }
    }
}

/// There must be `chunked` and nothing else. Where it is among others and not their last, nobody can say where
/// the body ends (RFC 9112, 6.3), and that is not a matter of what we know.
fn check_codings(fields: &Fields) -> Result<(), BadHead> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let codings: Vec<&[u8]> = fields.elements(FieldName::TransferEncoding).collect();
    let (last, others) = codings.split_last().ok_or(BadHead::TransferEncoding)?;
    if others.iter().any(|coding| is_chunked(coding)) {
        return Err(BadHead::ChunkedNotLast);
    }
    if is_chunked(last) && others.is_empty() { Ok(()) } else { Err(BadHead::TransferEncoding) }
}

/// A number of digits and nothing else, at most 2⁶³ − 1.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    });
    number.filter(|number| i64::try_from(*number).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &str, expected: Result<Option<BodyLength>, BadHead>) {
        let mut fields = Fields::default();
        fields.parse(format!("{lines}\r\n").as_bytes(), &crate::HeadLimits::default()).unwrap();
        assert_eq!(declared(&fields, false), expected, "{lines:?}");
    }

    #[test]
    fn one_length_and_only_one() {
        check("", Ok(None));
        check("content-length: 0\r\n", Ok(Some(BodyLength::Exact(0))));
        check("content-length: 0010\r\n", Ok(Some(BodyLength::Exact(10))));
        check("content-length: 9223372036854775807\r\n", Ok(Some(BodyLength::Exact((1 << 63) - 1))));
        check("transfer-encoding: Chunked\r\n", Ok(Some(BodyLength::Chunked)));
        check("content-length: 3\r\ntransfer-encoding: chunked\r\n", Err(BadHead::TwoLengths));
        check("content-length: 3\r\ncontent-length: 3\r\n", Err(BadHead::ContentLength));
        for wrong in ["", "+1", "-1", "1, 1", "1 1", "0x10", "1.0", "9223372036854775808", "١"] {
            check(&format!("content-length: {wrong}\r\n"), Err(BadHead::ContentLength));
        }
        for wrong in ["gzip, chunked", "identity", "", "gzip", ",chunked", "chunked;a=b", "xchunked"] {
            check(&format!("transfer-encoding: {wrong}\r\n"), Err(BadHead::TransferEncoding));
        }
        for wrong in ["chunked, gzip", "chunked, chunked", "Chunked,", "gzip, chunked, x"] {
            check(&format!("transfer-encoding: {wrong}\r\n"), Err(BadHead::ChunkedNotLast));
        }
        let twice = "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n";
        check(twice, Err(BadHead::ChunkedNotLast));
    }

    #[test]
    fn http_1_0_has_no_codings() {
        let mut fields = Fields::default();
        fields.push(b"Transfer-Encoding", b"chunked");
        assert_eq!(declared(&fields, true), Err(BadHead::TransferEncodingInHttp10));
    }
}

//! Fields between HTTP/2's library and ours.

use h1::{Field, FieldName, Fields, Underscores};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Adds a field that has passed one of the two parsers already; one that only the other knows stays
/// behind.
pub(crate) fn append(map: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        map.append(name, value);
    }
}

/// The length that a head declares.
pub(crate) fn content_length(map: &HeaderMap) -> Option<u64> {
    map.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Trailers that came with HTTP/2. It is too late to refuse anything, so what should be is left out.
pub(crate) fn from_trailers(map: &HeaderMap, underscores: Underscores) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in map {
        if underscores == Underscores::Keep || !name.as_str().contains('_') {
            fields.push(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    fields
}

/// Trailers for HTTP/2.
pub(crate) fn to_trailers(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::new();
    for field in fields.iter().filter(may_trail) {
        append(&mut map, field.name_bytes, field.value);
    }
    map
}

/// Whether a field may stand behind a body. What decides about framing, routing or rights must come
/// before it: RFC 9110, 6.5.1.
pub(crate) fn may_trail(field: &Field<'_>) -> bool {
    const FORBIDDEN: [&[u8]; 12] = [
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-range",
        b"content-type",
        b"cookie",
        b"max-forwards",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"range",
        b"set-cookie",
        b"www-authenticate",
    ];
    let is_forbidden = |name: &&[u8]| field.name_bytes.eq_ignore_ascii_case(name);
    field.name == FieldName::Other && !FORBIDDEN.iter().any(is_forbidden)
}

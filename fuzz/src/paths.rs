//! Paths that can be read in more than one way.

use h1::{RequestHead, normal_path, widest_path};

/// A normal form is normal, has no segment that leads elsewhere, and is read by a generous server as the path is
/// that it was made of. A path that counts as plain is its own normal form.
pub fn path(data: &[u8]) {
    let mut head = RequestHead::default();
    let is_target = data.starts_with(b"/") && head.start(b"GET", data, None).is_ok();
    let path = if is_target { head.path().to_vec() } else { data.to_vec() };
    let widest = widest_path(&path);
    assert!(widest.starts_with(b"/") && segments(&widest).all(leads_on), "{:?}", shown(&widest));
    let mut normal = Vec::new();
    let is_normal = normal_path(&path, &mut normal).map(|()| normal == path);
    if is_target && head.has_plain_path() {
        assert_eq!(is_normal, Ok(true), "{:?}", shown(&path));
        assert_eq!(widest, path);
    }
    if is_normal.is_err() {
        return;
    }
    assert!(normal.starts_with(b"/") && segments(&normal).all(leads_on), "{:?}", shown(&normal));
    let mut again = Vec::new();
    assert_eq!(normal_path(&normal, &mut again), Ok(()), "{:?}", shown(&normal));
    assert_eq!(shown(&again), shown(&normal));
    // Parameters are no part of a segment for some, so that what they stand behind may be nothing. And a raw
    // backslash is in no target.
    let lower = path.to_ascii_lowercase();
    let has_parameters = lower.contains(&b';') || lower.windows(3).any(|escape| escape == b"%3b");
    if is_target && !has_parameters {
        assert_eq!(shown(&widest_path(&normal)), shown(&widest), "{:?}", shown(&path));
    }
    if is_target {
        head.replace_path(&normal);
        let mut origin = Vec::new();
        head.write_origin(&mut origin);
        let query = data.iter().position(|byte| *byte == b'?').map_or(&[][..], |at| &data[at..]);
        assert_eq!(shown(&origin), shown(&[&normal[..], query].concat()));
    }
}

fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let inner = path[1..].strip_suffix(b"/").unwrap_or(&path[1..]);
    inner.split(|byte| *byte == b'/').filter(|segment| !inner.is_empty() || !segment.is_empty())
}

/// It is a name, and neither nothing nor a way to somewhere else.
fn leads_on(segment: &[u8]) -> bool {
    !matches!(segment, b"" | b"." | b"..")
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

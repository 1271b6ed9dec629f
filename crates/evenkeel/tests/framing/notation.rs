//! How the tables write bytes down, and how bytes are shown again. It sends nothing.
//!
//! | written | is |
//! |---|---|
//! | `¶` | CR LF |
//! | `\r` `\n` `\t` `\0` `\s` `\\` `\xHH` | one byte; `\s` is a space where it would not be seen |
//! | `[3*ab]` | `ababab` |
//! | `[case]` | the number of the case, to tell one case's requests from another's |
//! | `[then]` | one write ends here and the next begins |
//! | `[await 100]` | the client goes on when it has an answer with this status |
//! | `[early]` | the replica answers before it has read the request's body |
//! | `[body]` | the replica reads the request's body here, not before it answers |
//! | `[read 4]` | the replica reads this many raw bytes |
//! | `[close]` | the writer says no more: a client half-closes, a replica closes |

/// One thing that a peer does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Write(Vec<u8>),
    Await(u16),
    Early,
    Body,
    Read(usize),
    Close,
}

/// The steps that a text stands for.
pub(crate) fn steps(text: &str, case: usize) -> Vec<Step> {
    let (mut steps, mut bytes, mut rest) = (Vec::new(), Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '¶' => bytes.extend_from_slice(b"\r\n"),
            '\\' => rest = escaped(rest, &mut bytes),
            '[' => match bracketed(rest).and_then(|(token, after)| Some((word(token, case)?, after))) {
                Some((Word::Bytes(more), after)) => {
                    bytes.extend(more);
                    rest = after;
                }
                Some((Word::Step(step), after)) => {
                    if !bytes.is_empty() {
                        steps.push(Step::Write(std::mem::take(&mut bytes)));
                    }
                    steps.extend(step);
                    rest = after;
                }
                None => bytes.push(b'['),
            },
            ascii if ascii.is_ascii() => bytes.push(ascii as u8),
            other => panic!("{other} is not part of the notation: {text}"),
        }
    }
    if !bytes.is_empty() {
        steps.push(Step::Write(bytes));
    }
    steps
}

/// The bytes that a text without steps stands for.
pub(crate) fn bytes(text: &str, case: usize) -> Vec<u8> {
    let only = |step| match step {
        Step::Write(bytes) => bytes,
        step => panic!("{step:?} has no place here: {text}"),
    };
    steps(text, case).into_iter().flat_map(only).collect()
}

/// What stands before the bracket that closes this one, and behind it.
fn bracketed(rest: &str) -> Option<(&str, &str)> {
    let mut depth = 1;
    let end = rest.find(|one| {
        depth += i32::from(one == '[') - i32::from(one == ']');
        depth == 0
    })?;
    Some((&rest[..end], &rest[end + 1..]))
}

enum Word {
    Bytes(Vec<u8>),
    Step(Option<Step>),
}

/// What stands between brackets, if it is a word of the notation and not an IPv6 address.
fn word(token: &str, case: usize) -> Option<Word> {
    if let Some((count, repeated)) = token.split_once('*') {
        return Some(Word::Bytes(bytes(repeated, case).repeat(count.parse().ok()?)));
    }
    let step = match token.split_once(' ').unwrap_or((token, "")) {
        ("case", "") => return Some(Word::Bytes(case.to_string().into_bytes())),
        ("then", "") => None,
        ("await", status) => Some(Step::Await(status.parse().ok()?)),
        ("early", "") => Some(Step::Early),
        ("body", "") => Some(Step::Body),
        ("read", count) => Some(Step::Read(count.parse().ok()?)),
        ("close", "") => Some(Step::Close),
        _ => return None,
    };
    Some(Word::Step(step))
}

fn escaped<'a>(rest: &'a str, bytes: &mut Vec<u8>) -> &'a str {
    let (byte, length) = match rest.as_bytes()[0] {
        b'r' => (b'\r', 1),
        b'n' => (b'\n', 1),
        b't' => (b'\t', 1),
        b's' => (b' ', 1),
        b'0' => (0, 1),
        b'\\' => (b'\\', 1),
        b'x' => (u8::from_str_radix(&rest[1..3], 16).unwrap(), 3),
        _ => panic!("no such escape: \\{rest}"),
    };
    bytes.push(byte);
    &rest[length..]
}

/// Bytes in the notation; of many only the first and the last.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const FIRST: usize = 600;
    const LAST: usize = 200;
    if bytes.len() > FIRST + LAST {
        let (first, last) = (&bytes[..FIRST], &bytes[bytes.len() - LAST..]);
        return format!("{} …{} bytes in all… {}", shown(first), bytes.len(), shown(last));
    }
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' if bytes.get(index + 1) == Some(&b'\n') => text.push('¶'),
            b'\n' if index > 0 && bytes[index - 1] == b'\r' => {}
            b'\\' => text.push_str("\\\\"),
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b' '..=b'~' => text.push(*byte as char),
            other => text.push_str(&format!("\\x{other:02x}")),
        }
    }
    text
}

//! Which bytes may stand where.

const TOKEN: u8 = 1;
const TARGET: u8 = 2;
const HOST: u8 = 4;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        let is_alphanumeric = (byte as u8).is_ascii_alphanumeric();
        if is_alphanumeric || is_one_of(byte as u8, b"!#$%&'*+-.^_`|~") {
            table[byte] |= TOKEN;
        }
        if byte as u8 != b'#' {
            table[byte] |= TARGET;
        }
        if is_alphanumeric || is_one_of(byte as u8, b"-._~!$&'()*+,;=%") {
            table[byte] |= HOST;
        }
        byte += 1;
    }
    table
}

const fn is_one_of(byte: u8, bytes: &[u8]) -> bool {
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index] == byte {
            return true;
        }
        index += 1;
    }
    false
}

/// Part of a method or a field name: RFC 9110, 5.6.2.
pub(crate) fn is_token(byte: u8) -> bool {
    CLASS[byte as usize] & TOKEN != 0
}

/// Whether it is a token and not empty.
pub(crate) fn is_whole_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token(*byte))
}

/// Part of a request target: visible ASCII but for `#`. The backslash stands in queries only, where browsers
/// leave it as it is; before them some readers take it for a slash.
pub(crate) fn is_target(byte: u8) -> bool {
    CLASS[byte as usize] & TARGET != 0
}

/// Part of a registered name or an IPv4 address: RFC 3986, 3.2.2.
pub(crate) fn is_host(byte: u8) -> bool {
    CLASS[byte as usize] & HOST != 0
}

/// Whether a field value holds neither control characters (a tab is none here) nor line ends.
/// Bytes above 0x7F pass.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    // Without an early exit the compiler looks at many bytes at a time.
    let is_control = |byte: u8| (byte < 0x20 && byte != b'\t') | (byte == 0x7f);
    !bytes.iter().fold(false, |found, byte| found | is_control(*byte))
}

/// Without the spaces and tabs around it: RFC 9110, 5.6.3.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = trim_start(bytes);
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Without the spaces and tabs before it.
pub(crate) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

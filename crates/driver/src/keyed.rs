//! Hashes that only who knows the balancer's secret can make, and that tell nobody else what they are of.

use files::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The parts of what is hashed, under a secret and for one purpose: what was made for another one does
/// not count here.
pub(crate) struct Keyed(Hmac<Sha256>);

impl Keyed {
    /// HMAC-SHA256 over each part's length and bytes, so that parts are not run together.
    pub(crate) fn over(secret: &Secret, purpose: &str, parts: &[String]) -> Self {
        let mac = Hmac::new_from_slice(secret.bytes());
        let mut keyed = Self(mac.expect("a key of this kind may have any length"));
        keyed.add(purpose);
        parts.iter().for_each(|part| keyed.add(part));
        keyed
    }

    /// The whole hash, in hexadecimal digits.
    pub(crate) fn digits(self) -> String {
        self.0.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The first 64 bits of it, to tell things apart by.
    pub(crate) fn number(self) -> u64 {
        let bytes = self.0.finalize().into_bytes();
        bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Whether these are its digits; however many of them are, that takes the same time.
    pub(crate) fn is(self, digits: &str) -> bool {
        let pairs = digits.as_bytes().chunks(2);
        let bytes = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        bytes.collect::<Option<Vec<u8>>>().is_some_and(|bytes| self.0.verify_slice(&bytes).is_ok())
    }

    fn add(&mut self, part: &str) {
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(secret: u8, purpose: &str, parts: &[&str]) -> Keyed {
        let parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        Keyed::over(&Secret::of([secret; 32]), purpose, &parts)
    }

    #[test]
    fn a_hash_is_of_its_secret_its_purpose_and_each_part() {
        let digits = over(1, "seal", &["ab", "c"]).digits();
        assert!(over(1, "seal", &["ab", "c"]).is(&digits));
        for other in [
            over(2, "seal", &["ab", "c"]),
            over(1, "release", &["ab", "c"]),
            over(1, "seal", &["a", "bc"]),
            over(1, "seal", &["ab", "c", ""]),
            over(1, "seal", &["abc"]),
        ] {
            assert!(!other.is(&digits));
        }
        for wrong in
            ["", "x", &digits[1..], &digits[..62], &format!("{digits}00"), &digits.replace(['a', 'b'], "+")]
        {
            assert!(!over(1, "seal", &["ab", "c"]).is(wrong), "{wrong}");
        }
    }

    #[test]
    fn its_number_is_the_beginning_of_its_digits() {
        let digits = over(1, "release", &["x"]).digits();
        assert_eq!(format!("{:016x}", over(1, "release", &["x"]).number()), digits[..16]);
    }
}

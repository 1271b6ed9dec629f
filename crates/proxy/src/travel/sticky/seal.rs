//! The seal over what a cookie of ours says: only we can read it, and only we can have written it. It is for
//! one service alone. AES-256-GCM (NIST SP 800-38D) with the service's name as associated data; each nonce is
//! drawn by lot.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How long a secret is that seals are made with.
pub const STICKY_SECRET_BYTES: usize = 32;

/// What the secret is used for here, and nowhere else.
const PURPOSE: &[u8] = b"evenkeel sticky cookies 1";

/// What is under a seal.
pub(super) const CONTENT_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const SEALED_BYTES: usize = NONCE_LEN + CONTENT_BYTES + TAG_BYTES;
/// The same as text.
const TEXT_BYTES: usize = (SEALED_BYTES * 4).div_ceil(3);

/// Seals for one service. Clones make the same.
#[derive(Clone)]
pub(super) struct Seal {
    key: Arc<RandomizedNonceKey>,
    service: Arc<str>,
}

/// What was under a seal, and what tells it from all others with the same content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsealed {
    pub(super) content: [u8; CONTENT_BYTES],
    pub(super) number: [u8; NONCE_LEN],
}

impl Seal {
    pub(super) fn new(secret: &[u8; STICKY_SECRET_BYTES], service: &str) -> Self {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), PURPOSE);
        let key = RandomizedNonceKey::new(&AES_256_GCM, key.as_ref());
        Self { key: Arc::new(key.expect("an HMAC-SHA-256 is as long as this key")), service: service.into() }
    }

    /// As text that may stand in a cookie.
    pub(super) fn close(&self, content: [u8; CONTENT_BYTES]) -> Result<String, Unspecified> {
        let mut sealed = content;
        let (nonce, tag) = self.key.seal_in_place_separate_tag(self.associated(), &mut sealed)?;
        let parts: [&[u8]; 3] = [nonce.as_ref(), &sealed, tag.as_ref()];
        Ok(URL_SAFE_NO_PAD.encode(parts.concat()))
    }

    /// Nothing if it is not one of our seals for this service.
    pub(super) fn open(&self, text: &[u8]) -> Option<Unsealed> {
        let mut sealed = [0; SEALED_BYTES];
        if !Self::is_possible(text) || URL_SAFE_NO_PAD.decode_slice(text, &mut sealed).ok()? != SEALED_BYTES {
            return None;
        }
        let (number, rest) = sealed.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*number);
        let content = self.key.open_in_place(nonce, self.associated(), rest).ok()?;
        Some(Unsealed { content: (&*content).try_into().ok()?, number: *number })
    }

    /// Whether it is worth a closer look.
    pub(super) fn is_possible(text: &[u8]) -> bool {
        text.len() == TEXT_BYTES
    }

    fn associated(&self) -> Aad<&[u8]> {
        Aad::from(self.service.as_bytes())
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").field("service", &self.service).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; STICKY_SECRET_BYTES] = [7; STICKY_SECRET_BYTES];
    const CONTENT: [u8; CONTENT_BYTES] = *b"seat and day";

    #[test]
    fn a_seal_opens_for_its_service_and_its_secret_alone() {
        let seal = Seal::new(&SECRET, "web");
        let text = seal.close(CONTENT).unwrap();
        assert_eq!(seal.open(text.as_bytes()).unwrap().content, CONTENT);
        assert_eq!(Seal::new(&SECRET, "web").open(text.as_bytes()).unwrap().content, CONTENT, "a restart");
        assert_eq!(Seal::new(&SECRET, "shop").open(text.as_bytes()), None);
        assert_eq!(Seal::new(&[8; STICKY_SECRET_BYTES], "web").open(text.as_bytes()), None);
        assert_ne!(seal.close(CONTENT).unwrap(), text, "no two are alike");
    }

    #[test]
    fn whatever_is_changed_breaks_it() {
        let seal = Seal::new(&SECRET, "web");
        let text = seal.close(CONTENT).unwrap().into_bytes();
        for place in 0..text.len() {
            for other in [b'A', b'z', b'=', b' ', 0, 0xff] {
                let mut changed = text.clone();
                changed[place] = other;
                assert!(changed == text || seal.open(&changed).is_none(), "{place} {other}");
            }
        }
        for length in 0..text.len() {
            assert_eq!(seal.open(&text[..length]), None);
        }
        assert_eq!(seal.open(&[&text[..], b"="].concat()), None);
        assert_eq!(seal.open(&vec![b'A'; 1 << 20]), None);
        let quoted = [b"\"", &text[..], b"\""].concat();
        assert_eq!(seal.open(&quoted), None);
    }
}

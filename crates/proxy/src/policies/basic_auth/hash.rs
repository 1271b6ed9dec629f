//! What a password file keeps of a password, and whether a password is that one. Which schemes are known, and how
//! much work and memory one comparison may take, is decided here. No text that leaves this file shows a hash.

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, MIN_SALT_LEN, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bcrypt::HashParts;

/// The most work that bcrypt may be told to do: each step doubles it, and this one takes some seconds.
const BCRYPT_COST_MAX: u32 = 15;
/// With less than this, who has the file guesses fast.
const BCRYPT_COST_GOOD: u32 = 10;
/// The most memory that a comparison with Argon2 may take, in KiB, how often it may go over it, and in how many lanes.
const ARGON2_MEMORY_MAX: u32 = 256 << 10;
const ARGON2_PASSES_MAX: u32 = 16;
const ARGON2_LANES_MAX: u32 = 16;

const SHA1_BYTES: usize = 20;

/// The hash of one password.
pub(super) enum Hash {
    /// In the form of `htpasswd -B`, checked.
    Bcrypt(String),
    /// A PHC string, checked.
    Argon2(String),
    /// Of SHA-1, without salt.
    Sha1([u8; SHA1_BYTES]),
}

impl Hash {
    /// What a text stands for, or why it is nothing that passwords are compared with.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if ["$2y$", "$2b$", "$2a$"].iter().any(|prefix| text.starts_with(prefix)) {
            return bcrypt(text);
        }
        if text.starts_with("$argon2") {
            return argon2(text);
        }
        if let Some(encoded) = text.strip_prefix("{SHA}") {
            let bytes = STANDARD.decode(encoded).ok().and_then(|bytes| bytes.try_into().ok());
            return bytes.map(Self::Sha1).ok_or_else(|| "a damaged hash of the scheme {SHA}".into());
        }
        Err(match text {
            "" => "no hash".into(),
            _ if text.starts_with("$apr1$") => unsupported("apr1 (MD5)"),
            _ if text.starts_with('$') => unsupported("crypt"),
            _ => "a hash of a scheme that is not known".into(),
        })
    }

    /// Whether this is the password. Takes the time and the memory that the scheme is made to take; how long it
    /// takes does not depend on how much of the password is right.
    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or_default(),
            Self::Argon2(hash) => Argon2::default().verify_password(password, hash.as_str()).is_ok(),
            Self::Sha1(hash) => {
                let other = digest(&SHA1_FOR_LEGACY_USE_ONLY, password);
                verify_slices_are_equal(hash, other.as_ref()).is_ok()
            }
        }
    }

    /// Why its password is soon guessed by who has the file, if it is.
    pub(super) fn weakness(&self) -> Option<String> {
        match self {
            Self::Bcrypt(hash) => {
                let cost = hash.parse::<HashParts>().ok()?.get_cost();
                (cost < BCRYPT_COST_GOOD).then(|| format!("bcrypt with cost {cost}"))
            }
            Self::Argon2(_) => None,
            Self::Sha1(_) => Some("SHA-1 without salt".into()),
        }
    }
}

fn unsupported(scheme: &str) -> String {
    format!("a hash of the scheme {scheme}, which is not supported")
}

fn bcrypt(text: &str) -> Result<Hash, String> {
    let parts = text.parse::<HashParts>().map_err(|_| "a damaged bcrypt hash")?;
    let cost = parts.get_cost();
    if !(4..=BCRYPT_COST_MAX).contains(&cost) {
        return Err(format!("a bcrypt hash with cost {cost}; from 4 to {BCRYPT_COST_MAX} are taken"));
    }
    Ok(Hash::Bcrypt(text.into()))
}

fn argon2(text: &str) -> Result<Hash, String> {
    let damaged = "a damaged Argon2 hash";
    let hash = PasswordHash::new(text).map_err(|_| damaged)?;
    let params = Params::try_from(&hash).map_err(|_| damaged)?;
    // What would never be compared with success is no hash.
    let is_known = hash.algorithm.as_str().parse::<Algorithm>().is_ok()
        && hash.version.is_none_or(|version| Version::try_from(version).is_ok());
    let has_salt = hash.salt.as_ref().is_some_and(|salt| salt.len() >= MIN_SALT_LEN);
    if !is_known || !has_salt || hash.hash.is_none() {
        return Err(damaged.into());
    }
    for (name, value, most) in [
        ("m", params.m_cost(), ARGON2_MEMORY_MAX),
        ("t", params.t_cost(), ARGON2_PASSES_MAX),
        ("p", params.p_cost(), ARGON2_LANES_MAX),
    ] {
        if value > most {
            return Err(format!("an Argon2 hash with {name}={value}; {most} is the most that is taken"));
        }
    }
    Ok(Hash::Argon2(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BCRYPT: &str = "$2y$04$tU1okL/m50PUg7hh97tRq.kraixRs4zpcsErJNQOhOrsx90NFNm0.";

    #[test]
    fn passwords_are_those_that_other_programs_have_hashed() {
        for (hash, password) in [
            // htpasswd -nbB -C 4, htpasswd -nbs, and argon2-cffi.
            (BCRYPT, "secret"),
            ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "secret"),
            (
                "$argon2id$v=19$m=64,t=1,p=1$LMW7xZYP7kgXpDWhH+iTsA$jHiSTblQjkvCmW1vcrIDoyyQg5iuHFQEQqLYObppUUY",
                "secret",
            ),
            (
                "$argon2i$v=19$m=128,t=2,p=2$c2FsdHNhbHRzYWx0$pTipmhGBw6yThHndEw2x7F32BZBX+GncdqCUhdxHBkg",
                "p\u{e4}ss",
            ),
        ] {
            let parsed = Hash::parse(hash).unwrap();
            assert!(parsed.is_of(password.as_bytes()), "{hash}");
            for wrong in ["", "Secret", "secret "] {
                assert!(!parsed.is_of(wrong.as_bytes()), "{hash} {wrong:?}");
            }
        }
    }

    #[test]
    fn what_is_no_hash_of_ours_is_refused_with_the_reason() {
        for (text, part) in [
            ("", "no hash"),
            ("secret", "not known"),
            ("rqXexS6ZhobKA", "not known"),
            ("$apr1$x$y", "apr1 (MD5), which is not supported"),
            ("$6$x$y", "crypt, which is not supported"),
            ("$2x$04$tU1okL/m50PUg7hh97tRq.kraixRs4zpcsErJNQOhOrsx90NFNm0.", "not supported"),
            ("$2y$04$short", "damaged bcrypt"),
            ("$2y$03$tU1okL/m50PUg7hh97tRq.kraixRs4zpcsErJNQOhOrsx90NFNm0.", "cost 3"),
            ("$2y$31$tU1okL/m50PUg7hh97tRq.kraixRs4zpcsErJNQOhOrsx90NFNm0.", "cost 31"),
            ("{SHA}5en6", "damaged"),
            ("$argon2id$v=19$m=16,t=2,p=1$c2FsdHNhbHQ", "damaged Argon2"),
            ("$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHQ$Ccfc8BSzIAHeDSJ6UA0aYQ", "m=4194304"),
            ("$argon2id$v=19$m=16,t=99,p=1$c2FsdHNhbHQ$Ccfc8BSzIAHeDSJ6UA0aYQ", "t=99"),
            ("$argon2id$v=7$m=16,t=2,p=1$c2FsdHNhbHQ$Ccfc8BSzIAHeDSJ6UA0aYQ", "damaged Argon2"),
            ("$argon2id$v=19$m=16,t=2,p=1$c2FsdA$Ccfc8BSzIAHeDSJ6UA0aYQ", "damaged Argon2"),
            ("$argon2x$v=19$m=16,t=2,p=1$c2FsdHNhbHQ$Ccfc8BSzIAHeDSJ6UA0aYQ", "damaged Argon2"),
        ] {
            let said = Hash::parse(text).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(said.contains(part), "{text}: {said}");
        }
    }
}

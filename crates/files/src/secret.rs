//! Secrets of ours: random bytes in a file that this account alone can read.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::own::{NotOurs, open_own};
use crate::write::create_new;

/// How long a secret is.
pub const SECRET_BYTES: usize = 32;

/// More than this is in no file of ours.
const FILE_BYTES_MAX: u64 = 4096;

/// Random bytes that nobody else knows. It is shown only to who asks for its digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// A new one, from the kernel.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(bytes))
    }

    /// One of which the bytes are known, for tests.
    pub fn of(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes, as a key.
    pub fn bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// In 64 hexadecimal digits, as in its file.
    pub fn digits(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// From its digits.
    pub fn from_digits(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != 2 * SECRET_BYTES || !text.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut bytes = [0; SECRET_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The secret in a file; nothing if there is no file. One that others may read is no secret any more, and
/// refused.
pub fn read_secret(path: &Path) -> Result<Option<Secret>, NotOurs> {
    let unusable = |source| NotOurs::Unusable { path: path.to_owned(), source };
    let Some(file) = open_own(path)? else { return Ok(None) };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(unusable)?;
    let damaged = || unusable(io::Error::other("it holds no secret; remove it and another one is made"));
    Secret::from_digits(text.trim_end()).map(Some).ok_or_else(damaged)
}

/// The secret in a file, which is made if it is not there. Of several that do so at a time, all get the same.
pub fn read_or_create_secret(path: &Path) -> Result<Secret, NotOurs> {
    if let Some(secret) = read_secret(path)? {
        return Ok(secret);
    }
    let unusable = |source| NotOurs::Unusable { path: path.to_owned(), source };
    match create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(unusable(error)),
        _ => read_secret(path)?.ok_or_else(|| unusable(io::ErrorKind::NotFound.into())),
    }
}

/// A name is given to it when it is whole, so that nobody ever reads a part.
fn create(path: &Path) -> io::Result<()> {
    let draft = Draft(path.with_extension(format!("{:08x}", getrandom::u32().map_err(io::Error::other)?)));
    let mut file = create_new(&draft.0, 0o600)?;
    file.write_all(format!("{}\n", Secret::random()?.digits()).as_bytes())?;
    file.sync_all()?;
    fs::hard_link(&draft.0, path)
}

/// Removed in any case.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::thread;

    use super::*;

    #[test]
    fn a_secret_is_made_once_for_us_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        assert_eq!(read_secret(&path).unwrap(), None);
        let makers = (0..8).map(|_| {
            thread::spawn({
                let path = path.clone();
                move || read_or_create_secret(&path).unwrap()
            })
        });
        let made: Vec<Secret> =
            makers.collect::<Vec<_>>().into_iter().map(|one| one.join().unwrap()).collect();
        assert!(made.iter().all(|one| *one == made[0]));
        assert_eq!(read_secret(&path).unwrap().as_ref(), Some(&made[0]));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        assert_ne!(read_or_create_secret(&folder.path().join("other")).unwrap(), made[0]);
    }

    #[test]
    fn its_digits_say_it_and_nothing_else_does() {
        let secret = Secret::of([0xab; SECRET_BYTES]);
        assert_eq!(Secret::from_digits(&secret.digits()), Some(secret.clone()));
        assert!(!format!("{secret:?}").contains("ab"));
        let digits = secret.digits();
        for wrong in ["", "ab", &digits[1..], &digits.replacen('a', "+", 1), &digits.replacen('b', "x", 1)] {
            assert_eq!(Secret::from_digits(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_damaged_file_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create_new(&path, 0o600).unwrap().write_all(b"short\n").unwrap();
        let refused = read_or_create_secret(&path).unwrap_err();
        let NotOurs::Unusable { source, .. } = &refused else { panic!("{refused}") };
        assert!(source.to_string().contains("remove it"), "{source}");
    }
}

//! A password file in use: what it said when it was last good, and what is remembered of comparisons with that. A file
//! that is not good is not taken over, and the passwords of before stay in force. One that never was lets nobody in.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use rustix::fs::{Mode, OFlags, open};

use super::credentials::Credentials;
use super::remembered::{Fingerprint, Fingerprints, Remembered};
use super::users::{BadLine, Users};
use crate::stamp::Stamp;

/// The most that one may hold.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// How long it is remembered that a password was right, and that one was wrong, and of how many. They are counted
/// apart: whoever guesses makes nobody else forgotten.
const RIGHT_FOR: Duration = Duration::from_secs(300);
const WRONG_FOR: Duration = Duration::from_secs(10);
const REMEMBERED_MAX: usize = 4096;
/// How many weak passwords are named in a warning.
const NAMED_MAX: usize = 3;

/// Why a password file cannot be used. Never holds a part of a hash.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFileError {
    /// It is missing, or not ours to read.
    #[error("cannot read the passwords in {}", file.display())]
    Unreadable {
        /// Which one.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{}: {problem}", file.display())]
    BadFile {
        /// Which one.
        file: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A line is not what it should be.
    #[error("{}, line {line}: {problem}", file.display())]
    BadLine {
        /// Which file.
        file: PathBuf,
        /// From 1 on.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// A file, and what is in force of it.
pub(crate) struct Passwords {
    file: PathBuf,
    current: ArcSwapOption<Edition>,
    seen: Mutex<Seen>,
}

/// What the file looked like.
#[derive(Default)]
struct Seen {
    /// When what is in force was read.
    read: Option<Stamp>,
    /// When it was found unusable, so that one state of it is complained about once.
    refused: Option<Option<Stamp>>,
}

/// One state of a file.
pub(crate) struct Edition {
    users: Users,
    fingerprints: Fingerprints,
    right: Remembered<Arc<str>>,
    wrong: Remembered<()>,
}

/// What has come of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The password is that of this name.
    Right(Arc<str>),
    /// It is not, or there is no such name.
    Wrong,
    /// Nobody could tell.
    Nothing,
}

/// What works and is still not as it should be with a file.
pub fn check_password_file(file: &Path) -> Result<Vec<String>, PasswordFileError> {
    let users = read(file)?;
    let mut warnings = Vec::new();
    let file = file.display();
    if users.count() == 0 {
        warnings.push(format!("{file} names nobody, so nobody can sign in by it"));
    }
    let weak = users.weak();
    if !weak.is_empty() {
        let named = weak[..weak.len().min(NAMED_MAX)].join("; ");
        let others = weak.len().saturating_sub(NAMED_MAX);
        let others = if others > 0 { format!("; and {others} more") } else { String::new() };
        warnings.push(format!(
            "whoever gets {file} soon has passwords that are kept so: {named}{others}; `htpasswd -B -C 10` makes better ones"
        ));
    }
    Ok(warnings)
}

impl Passwords {
    /// Those of a file, or nobody's until it is good.
    pub(super) fn open(file: &Path) -> Self {
        let passwords =
            Self { file: file.to_owned(), current: ArcSwapOption::empty(), seen: Mutex::default() };
        passwords.look();
        passwords
    }

    /// What is in force, if anything is.
    pub(super) fn current(&self) -> Option<Arc<Edition>> {
        self.current.load_full()
    }

    /// Takes over what has become of the file.
    pub(super) fn look(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at before it is read: a write between the two is found by the next look.
        let now = Stamp::of(&self.file);
        let is_first = seen.read.is_none();
        if now.is_some() && seen.read == now {
            return;
        }
        match read(&self.file).map(Edition::new) {
            Ok(Some(edition)) => {
                let names = edition.users.count();
                self.current.store(Some(Arc::new(edition)));
                *seen = Seen { read: now, refused: None };
                if !is_first {
                    tracing::info!(file = %self.file.display(), names, "new passwords are in force");
                }
            }
            Ok(None) => tracing::warn!("the system has no random numbers; passwords are read later"),
            Err(_) if seen.refused.as_ref() == Some(&now) => {}
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                let meanwhile = if is_first { "nobody is let in" } else { "the old ones are still in force" };
                tracing::warn!(%error, cause, "a password file is not used, and {meanwhile}");
                seen.refused = Some(now);
            }
        }
    }
}

impl Edition {
    fn new(users: Users) -> Option<Self> {
        Some(Self {
            users,
            fingerprints: Fingerprints::new()?,
            right: Remembered::new(RIGHT_FOR, REMEMBERED_MAX),
            wrong: Remembered::new(WRONG_FOR, REMEMBERED_MAX),
        })
    }

    pub(super) fn fingerprint(&self, credentials: &Credentials) -> Fingerprint {
        self.fingerprints.of(&credentials.text)
    }

    /// What has come of comparing them before.
    pub(super) fn recall(&self, of: Fingerprint) -> Option<Finding> {
        let now = Instant::now();
        let right = self.right.get(of, now).map(Finding::Right);
        right.or_else(|| self.wrong.get(of, now).map(|()| Finding::Wrong))
    }

    /// Compares, which takes time, and remembers what comes of it.
    pub(super) fn examine(&self, credentials: &Credentials, of: Fingerprint) -> Finding {
        let (name, password) = (credentials.name(), credentials.password());
        let chance = self.fingerprints.of(name).number();
        let found = self.users.examine(name, password, chance);
        let now = Instant::now();
        match found {
            Some(name) => {
                self.right.keep(of, Arc::clone(&name), now);
                Finding::Right(name)
            }
            None => {
                self.wrong.keep(of, (), now);
                Finding::Wrong
            }
        }
    }
}

fn read(file: &Path) -> Result<Users, PasswordFileError> {
    let bad = |problem| PasswordFileError::BadFile { file: file.to_owned(), problem };
    let unreadable = |source| PasswordFileError::Unreadable { file: file.to_owned(), source };
    // Of a pipe, opening would wait for whoever writes to it, and here does not.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = open(file, flags, Mode::empty()).map_err(|error| unreadable(error.into()))?;
    let opened = File::from(opened);
    if !opened.metadata().map_err(unreadable)?.is_file() {
        return Err(bad("it is no file with lines NAME:HASH"));
    }
    let mut text = Vec::new();
    opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(bad("it is larger than 1 MiB, which is too large for passwords"));
    }
    let bad_line = |BadLine { number: line, problem }| {
        let file = file.to_owned();
        PasswordFileError::BadLine { file, line, problem }
    };
    Users::parse(&text).map_err(bad_line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use h1::RequestHead;

    fn credentials(encoded: &str) -> Credentials {
        let mut head = RequestHead::default();
        head.start(b"GET", b"/", None).unwrap();
        head.push(b"authorization", format!("Basic {encoded}").as_bytes());
        Credentials::of(&head).unwrap()
    }

    #[test]
    fn a_new_file_is_taken_over_with_all_that_was_remembered_and_a_bad_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passwords");
        let secret = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";
        let passwords = Passwords::open(&file);
        assert!(passwords.current().is_none(), "there is no file");
        std::fs::write(&file, format!("alice:{secret}\n")).unwrap();
        passwords.look();
        let alice = credentials("YWxpY2U6c2VjcmV0");
        let first = passwords.current().unwrap();
        let of = first.fingerprint(&alice);
        assert_eq!(first.recall(of), None);
        assert_eq!(first.examine(&alice, of), Finding::Right("alice".into()));
        assert_eq!(first.recall(of), Some(Finding::Right("alice".into())));
        let wrong = credentials("YWxpY2U6c2VjcmVU");
        let of_wrong = first.fingerprint(&wrong);
        assert_eq!(first.examine(&wrong, of_wrong), Finding::Wrong);
        assert_eq!(first.recall(of_wrong), Some(Finding::Wrong));

        passwords.look();
        assert!(Arc::ptr_eq(&first, &passwords.current().unwrap()), "nothing has changed");
        std::fs::write(&file, "alice\n").unwrap();
        passwords.look();
        assert!(Arc::ptr_eq(&first, &passwords.current().unwrap()), "it is not good");
        std::fs::remove_file(&file).unwrap();
        passwords.look();
        assert!(Arc::ptr_eq(&first, &passwords.current().unwrap()), "it is not there");

        std::fs::write(&file, format!("bob:{secret}\n")).unwrap();
        passwords.look();
        let second = passwords.current().unwrap();
        let of = second.fingerprint(&alice);
        assert_eq!(second.recall(of), None);
        assert_eq!(second.examine(&alice, of), Finding::Wrong, "she is not in it any more");
    }

    #[test]
    fn what_is_weak_or_wrong_with_a_file_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passwords");
        let lines =
            |count: usize| (0..count).map(|one| format!("u{one}:{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"));
        std::fs::write(&file, lines(5).collect::<String>()).unwrap();
        let warnings = check_password_file(&file).unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains("line 3, SHA-1 without salt; and 2 more;"));
        std::fs::write(&file, "").unwrap();
        assert!(check_password_file(&file).unwrap()[0].contains("names nobody"));
        std::fs::write(&file, "a\n").unwrap();
        let said = check_password_file(&file).unwrap_err().to_string();
        assert!(said.ends_with("passwords, line 1: it has no colon between a name and a hash"), "{said}");
        std::fs::write(&file, "#".repeat(1 << 21)).unwrap();
        assert!(check_password_file(&file).unwrap_err().to_string().contains("too large"));
        assert!(check_password_file(folder.path()).unwrap_err().to_string().contains("no file"));
        assert!(check_password_file(&folder.path().join("none")).is_err());
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert!(check_password_file(&pipe).unwrap_err().to_string().contains("no file"));
    }
}

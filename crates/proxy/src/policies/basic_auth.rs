//! Who may come by a name and a password, as `htpasswd` keeps them in a file. Whether the two belong together was often
//! found out a moment ago, and is known at once; else it is compared by threads of their own, and the request waits
//! for that in `travel/sign_in.rs`. No connection is known here.

mod credentials;
mod hash;
mod users;
mod remembered;
pub(crate) mod passwords;
pub(crate) mod porters;
pub(crate) mod files;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use h1::RequestHead;

use crate::clients::origin::Household;
use crate::policies::mark::Mark;
use crate::policies::refusal::{AnswerField, PolicyAnswer};
use credentials::Credentials;
use files::PasswordFiles;
use passwords::{Finding, Passwords};
use porters::{Crowd, Porters, Question, Ticket};

/// Whose names and passwords count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuth {
    /// The file that they stand in.
    pub file: PathBuf,
    /// What they are for, in words that browsers may show: printable ASCII without `"` and `\`.
    pub realm: String,
}

/// The same in force, for all workers.
pub(crate) struct SignIn {
    realm: String,
    passwords: Arc<Passwords>,
    porters: Arc<Porters>,
}

/// What a look at a request has shown.
pub(crate) enum Look {
    /// It was found out before.
    Known(Finding),
    /// It is not known, and can be found out.
    Open(Question),
    /// There is nothing to find out.
    Refused(PolicyAnswer),
}

impl SignIn {
    pub(crate) fn new(settings: &BasicAuth, files: &Arc<PasswordFiles>) -> Self {
        Self {
            realm: settings.realm.clone(),
            passwords: files.open(&settings.file),
            porters: Arc::clone(&files.porters),
        }
    }

    /// What is known of who sent this. Nothing is waited for.
    pub(crate) fn look(&self, head: &RequestHead) -> Look {
        let Some(edition) = self.passwords.current() else { return Look::Known(Finding::Nothing) };
        let Some(credentials) = Credentials::of(head) else {
            return Look::Refused(self.ask_for_them("this asks for a name and a password"));
        };
        let fingerprint = edition.fingerprint(&credentials);
        match edition.recall(fingerprint) {
            Some(finding) => Look::Known(finding),
            None => Look::Open(Question { edition, credentials, fingerprint }),
        }
    }

    /// Begins to find it out, for a client.
    pub(crate) fn find_out(&self, question: Question, client: IpAddr) -> Result<Arc<Ticket>, PolicyAnswer> {
        self.porters.ask(question, Household::of(client)).map_err(|crowd| match crowd {
            Crowd::OfClient => busy(429, "too many passwords of this client are being compared"),
            Crowd::OfAll => busy(503, "too many passwords are being compared"),
        })
    }

    /// Who has sent it, or what that one gets.
    pub(crate) fn judge(&self, finding: Finding) -> Result<Arc<str>, PolicyAnswer> {
        match finding {
            Finding::Right(name) => Ok(name),
            Finding::Wrong => Err(self.ask_for_them("the name or the password is wrong")),
            Finding::Nothing => Err(busy(503, "passwords cannot be compared now")),
        }
    }

    fn ask_for_them(&self, text: &'static str) -> PolicyAnswer {
        let value = format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.realm).into_bytes();
        let fields = vec![AnswerField { name: "www-authenticate", value }];
        PolicyAnswer { mark: Mark::SignInRefused, status: 401, text: Some(text.into()), fields }
    }
}

/// For who has waited too long.
pub(crate) fn took_too_long() -> PolicyAnswer {
    busy(503, "comparing the password took too long")
}

fn busy(status: u16, text: &'static str) -> PolicyAnswer {
    let fields = vec![AnswerField { name: "retry-after", value: b"1".into() }];
    PolicyAnswer { mark: Mark::SignInBusy, status, text: Some(text.into()), fields }
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn").field("realm", &self.realm).finish_non_exhaustive()
    }
}

/// What is set, in words.
impl fmt::Display for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "asks for a name and a password of {} for \"{}\"", self.file.display(), self.realm)
    }
}

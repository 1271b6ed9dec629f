//! The token that all processes of a life carry in their environment, by which they are known again when
//! nobody else knows of them.
//!
//! It says whose life it is, and a hash by our key says that we have said so: what another account writes
//! into an environment is no token.

use files::Secret;
use fleet::Life;

use crate::keyed::Keyed;

/// The variable that it is in.
pub(super) const TOKEN: &str = "EVENKEEL_LIFE";

/// How long its random part is.
const RANDOM_LENGTH: usize = 16;

/// What the hash is for.
const PURPOSE: &str = "life";

/// By what one balancer knows the processes that it started.
#[derive(Clone, Debug)]
pub struct LifeMark {
    /// Whose they are.
    pub owner: String,
    /// What the same account's next balancer has, too.
    pub key: Secret,
}

impl LifeMark {
    /// A token that nobody else has: `OWNER/SERVICE/LIFE/RANDOM-HASH`.
    pub(super) fn token(&self, service: &str, life: Life) -> String {
        let random: String = std::iter::repeat_with(fastrand::alphanumeric).take(RANDOM_LENGTH).collect();
        let said = format!("{}/{service}/{life}/{random}", self.owner);
        let hash = self.hash(&said).digits();
        format!("{said}-{hash}")
    }

    /// The service that a token of ours speaks of; nothing if it is not ours.
    pub(super) fn service<'a>(&self, token: &'a str) -> Option<&'a str> {
        let (said, hash) = token.rsplit_once('-')?;
        let (service, _) = said.strip_prefix(&self.owner)?.strip_prefix('/')?.split_once('/')?;
        self.hash(said).is(hash).then_some(service)
    }

    fn hash(&self, said: &str) -> Keyed {
        Keyed::over(&self.key, PURPOSE, &[said.to_owned()])
    }
}

#[cfg(test)]
mod tests {
    use placement::Seat;

    use super::*;

    #[test]
    fn a_token_is_ours_by_its_hash_and_not_by_what_it_says() {
        let mark = |owner: &str, key| LifeMark { owner: owner.into(), key: Secret::of([key; 32]) };
        let ours = mark("127.0.0.1:5000", 1);
        let token = ours.token("web", Life { seat: Seat::at_index(0), incarnation: 4 });
        assert!(token.starts_with("127.0.0.1:5000/web/1.4/"), "{token}");
        assert_eq!(ours.service(&token), Some("web"));
        assert_eq!(mark("127.0.0.1:5000", 2).service(&token), None, "another account's");
        assert_eq!(mark("127.0.0.1:500", 1).service(&token), None, "another owner's");
        let (said, hash) = token.rsplit_once('-').unwrap();
        for forged in
            [said, &token[..token.len() - 2], &format!("{}-{hash}", said.replace("web", "shop")), ""]
        {
            assert_eq!(ours.service(forged), None, "{forged}");
        }
    }
}

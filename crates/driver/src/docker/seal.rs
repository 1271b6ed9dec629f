//! The seal on what we make on an engine: a keyed hash over its other labels.
//!
//! Anybody can put labels on a container, an image brings its own, and `docker inspect` shows all of them. So
//! labels say nothing by themselves. A seal can be made only by who knows the balancer's secret, and it
//! is good for one thing: for the one whose ID was written down when the engine told it.

use std::collections::HashMap;

use files::Secret;

use super::labels::{INCARNATION, NAME, OWNER, RELEASE, SEAL, SEAT, SERVICE, SPEC};
use crate::keyed::Keyed;

/// How many digits the number of a seal has.
pub(super) const NUMBER_DIGITS: usize = 32;

/// The labels that a seal vouches for. One that is not there is vouched for, too.
const SEALED: [&str; 7] = [OWNER, SERVICE, SEAT, INCARNATION, NAME, RELEASE, SPEC];

/// What something sealed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Container,
    Network,
}

/// A number for a seal that no other one has.
pub(super) fn new_number() -> String {
    format!("{:0width$x}", fastrand::u128(..), width = NUMBER_DIGITS)
}

/// Seals labels.
pub(super) fn put_on(labels: &mut HashMap<String, String>, secret: &Secret, kind: Kind, number: &str) {
    let digits = hash(labels, secret, kind, number).digits();
    labels.insert(SEAL.into(), format!("{number}.{digits}"));
}

/// The number of the seal on some labels, if it is ours and all of them are as we wrote them.
pub(super) fn number<'a>(
    labels: &'a HashMap<String, String>,
    secret: &Secret,
    kind: Kind,
) -> Option<&'a str> {
    let (number, digits) = labels.get(SEAL)?.split_once('.')?;
    hash(labels, secret, kind, number).is(digits).then_some(number)
}

fn hash(labels: &HashMap<String, String>, secret: &Secret, kind: Kind, number: &str) -> Keyed {
    let purpose = match kind {
        Kind::Container => "container",
        Kind::Network => "network",
    };
    let mut parts = vec![number.to_owned()];
    for label in SEALED {
        parts.extend(labels.get(label).map_or(vec!["no".into()], |value| vec!["yes".into(), value.clone()]));
    }
    Keyed::over(secret, purpose, &parts)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{order, settings};
    use super::super::labels;
    use super::*;

    #[test]
    fn a_seal_vouches_for_every_label_its_kind_and_its_secret() {
        let secret = Secret::of([7; 32]);
        let mut sealed = labels::of(&settings(), &order());
        sealed.insert(RELEASE.into(), "00000000000000aa".into());
        put_on(&mut sealed, &secret, Kind::Container, "12");
        assert_eq!(number(&sealed, &secret, Kind::Container), Some("12"));
        assert_eq!(number(&sealed, &secret, Kind::Network), None);
        assert_eq!(number(&sealed, &Secret::of([8; 32]), Kind::Container), None);
        for label in SEALED {
            let mut changed = sealed.clone();
            changed.insert(label.into(), "9".into());
            assert_eq!(number(&changed, &secret, Kind::Container), None, "{label} was changed");
            changed.remove(label);
            assert_eq!(number(&changed, &secret, Kind::Container), None, "{label} was taken away");
        }
        let other_number = sealed[SEAL].replacen("12", "13", 1);
        sealed.insert(SEAL.into(), other_number);
        assert_eq!(number(&sealed, &secret, Kind::Container), None);
        assert_eq!(number(&HashMap::new(), &secret, Kind::Container), None);
    }

    #[test]
    fn numbers_have_one_length() {
        assert!((0..100).all(|_| new_number().len() == NUMBER_DIGITS));
    }
}

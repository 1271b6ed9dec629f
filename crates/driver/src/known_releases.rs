//! The settings behind each release that a driver has learnt.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fleet::Release;

use crate::DriverError;

/// The most releases that a driver learns until its end. Each is a deployment of something new.
const RELEASES_MAX: usize = 1000;

/// The settings behind each release.
#[derive(Debug)]
pub(crate) struct KnownReleases<S>(Mutex<Inner<S>>);

#[derive(Debug)]
struct Inner<S> {
    settings: BTreeMap<Release, Arc<S>>,
    first: Release,
    latest: Arc<S>,
}

impl<S> KnownReleases<S> {
    /// With what the driver was made with.
    pub(crate) fn new(release: Release, settings: S) -> Self {
        let latest = Arc::new(settings);
        let settings = BTreeMap::from([(release, Arc::clone(&latest))]);
        Self(Mutex::new(Inner { settings, first: release, latest }))
    }

    /// One more, or one that is known already.
    pub(crate) fn learn(&self, release: Release, settings: S) -> Result<(), DriverError> {
        let mut known = self.known();
        if known.settings.len() == RELEASES_MAX && !known.settings.contains_key(&release) {
            let what = format!("{RELEASES_MAX} releases were deployed since the start; restart the balancer");
            return Err(DriverError::new(what));
        }
        known.latest = Arc::new(settings);
        let latest = Arc::clone(&known.latest);
        known.settings.insert(release, latest);
        Ok(())
    }

    /// What is run to begin with is this, and not what the driver was made with.
    pub(crate) fn begin_with(&self, release: Release, settings: S) {
        let mut known = self.known();
        known.latest = Arc::new(settings);
        known.first = release;
        let latest = Arc::clone(&known.latest);
        known.settings.insert(release, latest);
    }

    /// One that was learnt by an earlier balancer, and is not what was learnt last.
    pub(crate) fn recall(&self, release: Release, settings: S) {
        self.known().settings.entry(release).or_insert_with(|| Arc::new(settings));
    }

    /// What a release runs. Whoever does not tell one means the first.
    pub(crate) fn get(&self, release: Release) -> Result<Arc<S>, DriverError> {
        let known = self.known();
        let release = if release.is_told() { release } else { known.first };
        let settings = known.settings.get(&release).cloned();
        settings.ok_or_else(|| DriverError::new(format!("nothing is known of release {release}")))
    }

    /// All that are known.
    pub(crate) fn all(&self) -> Vec<Arc<S>> {
        self.known().settings.values().cloned().collect()
    }

    /// What the driver was made with.
    pub(crate) fn first(&self) -> Release {
        self.known().first
    }

    /// What was learnt last; it says how long the end of a replica may take, whatever it runs.
    pub(crate) fn latest(&self) -> Arc<S> {
        Arc::clone(&self.known().latest)
    }

    fn known(&self) -> MutexGuard<'_, Inner<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_release_has_its_own_settings_and_one_that_was_not_told_is_the_first() {
        let [first, second, third] = [1, 2, 3].map(Release::of_hash);
        let releases = KnownReleases::new(first, "first");
        releases.learn(second, "second").unwrap();
        assert_eq!((*releases.get(first).unwrap(), *releases.get(second).unwrap()), ("first", "second"));
        assert_eq!((*releases.get(Release::default()).unwrap(), *releases.latest()), ("first", "second"));
        assert_eq!(releases.first(), first);
        assert!(releases.get(third).is_err());
        releases.learn(first, "first again").unwrap();
        assert_eq!((*releases.get(first).unwrap(), *releases.latest()), ("first again", "first again"));
    }

    #[test]
    fn what_was_stored_is_the_first_and_what_is_recalled_is_never_the_latest() {
        let [asked, stored, before] = [1, 2, 3].map(Release::of_hash);
        let releases = KnownReleases::new(asked, "asked");
        releases.begin_with(stored, "stored");
        releases.recall(before, "before");
        releases.recall(stored, "stored otherwise");
        assert_eq!((releases.first(), *releases.latest()), (stored, "stored"));
        assert_eq!(*releases.get(Release::default()).unwrap(), "stored");
        assert_eq!((*releases.get(before).unwrap(), *releases.get(asked).unwrap()), ("before", "asked"));
    }

    #[test]
    fn what_can_be_learnt_has_an_end_and_what_is_known_stays() {
        let releases = KnownReleases::new(Release::of_hash(1), 1);
        for number in 2..=RELEASES_MAX as u64 {
            releases.learn(Release::of_hash(number), number).unwrap();
        }
        assert!(releases.learn(Release::of_hash(RELEASES_MAX as u64 + 1), 0).is_err());
        releases.learn(Release::of_hash(1), 1).unwrap();
    }
}

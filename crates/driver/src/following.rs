//! What a replica writes, for whoever follows it. Whoever is late loses lines and is told how many; nobody
//! waits for him.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::abort_on_drop::AbortOnDrop;
use crate::last_lines::LastLines;

/// How many lines are held for one who is late: a little more than a replica may write in a second. They have
/// some 4 MiB at most.
const LINES_HELD_MAX: usize = 1024;

/// How much of an output is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The last lines that there are.
    LastLines,
    /// Those, and then what comes until the replica ends.
    UntilItsEnd,
}

/// One thing to be told of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// A line that the replica wrote.
    Line(Arc<str>),
    /// So many lines are missing here, because they were not taken in time.
    LeftOut(u64),
    /// It cannot be read any further, for this reason.
    Broken(Arc<str>),
}

/// An output, from its last lines on. Dropping it ends the following.
#[derive(Debug)]
pub struct Following {
    held: VecDeque<Arc<str>>,
    coming: Option<broadcast::Receiver<Written>>,
    /// What reads it, if that is done for this one alone.
    _source: Option<AbortOnDrop>,
}

impl Following {
    /// What comes of a source, which runs there until it ends or nobody wants it any more.
    pub(crate) fn of<S>(runtime: &Handle, source: impl FnOnce(Arc<Told>) -> S) -> Self
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let told = Arc::<Told>::default();
        let following = told.follow(Extent::UntilItsEnd);
        let source = source(Arc::clone(&told));
        let task = runtime.spawn(async move {
            source.await;
            told.end();
        });
        Self { _source: Some(AbortOnDrop(task)), ..following }
    }

    /// What comes next; nothing when it is over.
    pub async fn next(&mut self) -> Option<Written> {
        if let Some(line) = self.held.pop_front() {
            return Some(Written::Line(line));
        }
        match self.coming.as_mut()?.recv().await {
            Ok(written) => Some(written),
            Err(RecvError::Lagged(lines)) => Some(Written::LeftOut(lines)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// What a replica has told: its last lines are kept, and each goes to those who follow. Where nobody does,
/// nothing is kept for anybody.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last: LastLines,
    followers: Option<broadcast::Sender<Written>>,
    is_over: bool,
}

impl Told {
    /// Takes in a line, which is passed on.
    pub(crate) fn tell(&self, line: String) {
        let mut inner = self.inner();
        inner.pass_on(|| Written::Line(line.as_str().into()));
        inner.last.push(line);
    }

    /// Takes in a word about lines, which is none of the replica's own.
    pub(crate) fn remark(&self, words: &str) {
        self.inner().pass_on(|| Written::Line(words.into()));
    }

    /// Says that it cannot be read any further.
    pub(crate) fn broken(&self, why: &str) {
        self.inner().pass_on(|| Written::Broken(why.into()));
    }

    /// Takes in lines that are kept and not passed on.
    pub(crate) fn keep(&self, lines: impl Iterator<Item = String>) {
        let mut inner = self.inner();
        lines.for_each(|line| inner.last.push(line));
    }

    /// The last lines, the oldest first.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.inner().last.to_vec()
    }

    /// The last lines, and those that come if they are asked for: none twice, and none missing between.
    pub(crate) fn follow(&self, extent: Extent) -> Following {
        let mut inner = self.inner();
        let held = inner.last.to_vec().into_iter().map(Arc::from).collect();
        let coming = (extent == Extent::UntilItsEnd && !inner.is_over).then(|| {
            let followers = inner.followers.get_or_insert_with(|| broadcast::Sender::new(LINES_HELD_MAX));
            followers.subscribe()
        });
        Following { held, coming, _source: None }
    }

    /// Nothing more will be told.
    pub(crate) fn end(&self) {
        let mut inner = self.inner();
        inner.is_over = true;
        inner.followers = None;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn pass_on(&mut self, written: impl FnOnce() -> Written) {
        if self.followers.as_ref().is_some_and(|followers| followers.send(written()).is_err()) {
            // The last one has gone.
            self.followers = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &str) -> Option<Written> {
        Some(Written::Line(words.into()))
    }

    #[tokio::test]
    async fn whoever_follows_gets_what_was_last_and_then_what_comes() {
        let told = Told::default();
        told.tell("one".into());
        let mut last = told.follow(Extent::LastLines);
        let mut following = told.follow(Extent::UntilItsEnd);
        told.tell("two".into());
        told.keep(["three".to_owned()].into_iter());
        told.remark("one left out");
        told.end();
        assert_eq!((last.next().await, last.next().await), (line("one"), None));
        let seen = [following.next().await, following.next().await, following.next().await];
        assert_eq!(seen, [line("one"), line("two"), line("one left out")]);
        assert_eq!(following.next().await, None);
        assert_eq!(told.last_lines(), ["one", "two", "three"]);
        let mut late = told.follow(Extent::UntilItsEnd);
        for words in ["one", "two", "three"] {
            assert_eq!(late.next().await, line(words));
        }
        assert_eq!(late.next().await, None, "it is over");
    }

    #[tokio::test]
    async fn whoever_is_late_loses_lines_and_is_told_how_many() {
        let told = Told::default();
        let mut following = told.follow(Extent::UntilItsEnd);
        let all = LINES_HELD_MAX + 10;
        (0..all).for_each(|number| told.tell(number.to_string()));
        assert_eq!(following.next().await, Some(Written::LeftOut(10)));
        assert_eq!(following.next().await, line("10"));
        drop(following);
        told.tell("nobody hears this".into());
        assert!(told.inner().followers.is_none(), "nothing is kept for anybody");
    }

    #[tokio::test]
    async fn a_source_ends_with_whoever_follows_it() {
        let (gone, is_gone) = tokio::sync::oneshot::channel::<()>();
        let following = Following::of(&Handle::current(), |told| async move {
            let _gone = gone;
            told.tell("begun".into());
            std::future::pending::<()>().await;
        });
        drop(following);
        assert!(is_gone.await.is_err());
    }
}

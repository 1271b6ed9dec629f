//! A number of places for requests or connections, and the line of those who wait for one. One atomic for
//! each that enters or leaves, as long as nobody waits.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::wire::line::Line;

/// As many places as there may be: nothing is counted.
pub(crate) const UNLIMITED: usize = usize::MAX;

/// How far a limit is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// By how many.
    pub taken: usize,
    /// How many may use it.
    pub most: usize,
}

/// Places of which only so many can be taken at a time, in all workers.
#[derive(Debug)]
pub(crate) struct Places {
    most: AtomicUsize,
    taken: AtomicUsize,
    pub(crate) line: Line,
}

impl Usage {
    /// Whether there is a limit at all.
    pub fn is_limited(&self) -> bool {
        self.most != UNLIMITED
    }
}

impl Places {
    /// So many.
    pub(crate) fn new(most: usize) -> Self {
        Self { most: AtomicUsize::new(most), taken: AtomicUsize::default(), line: Line::default() }
    }

    /// So many from now on. Those that are taken stay taken.
    pub(crate) fn set_most(&self, most: usize) {
        if self.most.swap(most, Ordering::SeqCst) < most {
            self.line.call_all();
        }
    }

    /// Whether they have a limit.
    pub(crate) fn are_limited(&self) -> bool {
        self.most.load(Ordering::Relaxed) != UNLIMITED
    }

    /// How far they are taken.
    pub(crate) fn usage(&self) -> Usage {
        Usage { taken: self.taken(), most: self.most.load(Ordering::Relaxed) }
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes one, if one is free for which nobody waits.
    pub(crate) fn take(&self) -> bool {
        self.line.is_empty() && self.take_in_turn()
    }

    /// Takes one, if one is free. For those whose turn it is.
    pub(crate) fn take_in_turn(&self) -> bool {
        let most = self.most.load(Ordering::SeqCst);
        let one_more = |taken: usize| (taken < most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok()
    }

    /// Gives one back.
    pub(crate) fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::SeqCst);
        self.line.call_next();
    }

    /// Calls the next, if there is still one for it.
    pub(crate) fn call_next_if_free(&self) {
        if self.taken.load(Ordering::SeqCst) < self.most.load(Ordering::SeqCst) {
            self.line.call_next();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::wire::line::wait_in;

    async fn wait_for_one(places: &Places) {
        wait_in([&places.line], || places.take_in_turn().then_some(())).await;
        places.call_next_if_free();
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let bounded = async { tokio::time::timeout(std::time::Duration::from_secs(30), test).await };
        runtime.block_on(bounded).expect("somebody waits for ever");
    }

    #[test]
    fn who_comes_first_is_served_first_and_nobody_comes_in_between() {
        run(async {
            let places = Places::new(1);
            let served = Mutex::new(Vec::new());
            assert!(places.take() && !places.take());
            let one = |number: u32| {
                let (places, served) = (&places, &served);
                async move {
                    wait_for_one(places).await;
                    served.lock().unwrap().push(number);
                    assert!(!places.take(), "others wait, or it is taken");
                    places.give_back();
                }
            };
            let begin = async {
                tokio::task::yield_now().await;
                assert_eq!(places.line.length(), 3);
                places.give_back();
                assert!(!places.take(), "it is for those who wait");
            };
            tokio::join!(one(1), one(2), one(3), begin);
            assert_eq!(*served.lock().unwrap(), [1, 2, 3]);
            assert!(places.line.is_empty() && places.taken() == 0);
        });
    }

    #[test]
    fn who_leaves_the_line_passes_its_turn_on() {
        run(async {
            let places = Places::new(1);
            assert!(places.take());
            let mut first = Box::pin(wait_for_one(&places));
            let mut second = Box::pin(wait_for_one(&places));
            assert!(futures_poll(&mut first).is_pending() && futures_poll(&mut second).is_pending());
            places.give_back();
            drop(first);
            second.await;
            assert!(places.line.is_empty() && places.taken() == 1);
        });
    }

    fn futures_poll(future: &mut (impl Future<Output = ()> + Unpin)) -> std::task::Poll<()> {
        let mut nobody = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::Pin::new(future).poll(&mut nobody)
    }

    #[test]
    fn more_places_are_taken_at_once() {
        run(async {
            let places = Places::new(0);
            let more = async {
                tokio::task::yield_now().await;
                places.set_most(2);
            };
            tokio::join!(wait_for_one(&places), wait_for_one(&places), more);
            assert_eq!(places.taken(), 2);
        });
    }

    #[test]
    fn many_threads_never_take_more_than_there_are_and_lose_no_place() {
        let places = Places::new(3);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    run(async {
                        for _ in 0..2000 {
                            if !places.take() {
                                wait_for_one(&places).await;
                            }
                            assert!(places.taken() <= 3);
                            tokio::task::yield_now().await;
                            places.give_back();
                        }
                    });
                    is_over.store(true, Ordering::Relaxed);
                });
            }
        });
        assert!(is_over.into_inner() && places.taken() == 0 && places.line.is_empty());
    }
}

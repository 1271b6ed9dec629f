//! The buckets of a limit, shared by all workers and bounded in number. Who was not counted for longest is
//! forgotten first, and begins anew with a full bucket, as one does who was never seen.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Into so many parts the table is cut, so that workers seldom meet at one.
const SHARDS: usize = 16;
/// How many buckets a generation of a part has at most: as many as fit into a table of 8192 places.
const GENERATION_MAX: usize = 7 << 10;

/// When each bucket is full. Keys are kept as hashes, which nobody else can compute, so that long ones cost no
/// more than others.
#[derive(Debug)]
pub(super) struct Buckets {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

/// Two generations: those who were counted since the other became the earlier one, and the others. When there
/// are too many of the first, they become the earlier ones, and who is in neither is forgotten: nobody of the
/// last `GENERATION_MAX` who were counted.
#[derive(Debug, Default)]
struct Shard {
    recent: HashMap<u64, u64>,
    earlier: HashMap<u64, u64>,
}

impl Default for Buckets {
    fn default() -> Self {
        Self { hasher: RandomState::new(), shards: Default::default() }
    }
}

impl Buckets {
    /// Looks at the bucket of a key, and may change it: a number, which is 0 at first.
    pub(super) fn with<T>(&self, key: &impl Hash, look: impl FnOnce(&mut u64) -> T) -> T {
        let hash = self.hasher.hash_one(key);
        // A lock is held for the time of a look only, and over no await.
        look(self.shard(hash).bucket(hash))
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[hash as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        let count = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap();
            shard.recent.len() + shard.earlier.len()
        };
        self.shards.iter().map(count).sum()
    }
}

impl Shard {
    fn bucket(&mut self, hash: u64) -> &mut u64 {
        if self.recent.len() >= GENERATION_MAX && !self.recent.contains_key(&hash) {
            std::mem::swap(&mut self.recent, &mut self.earlier);
            self.recent.clear();
        }
        let earlier = &mut self.earlier;
        self.recent.entry(hash).or_insert_with(|| earlier.remove(&hash).unwrap_or_default())
    }
}

/// The most buckets of a limit.
#[cfg(test)]
pub(super) const BUCKETS_MAX: usize = 2 * SHARDS * GENERATION_MAX;

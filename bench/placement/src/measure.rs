//! What is measured of each contender, and how.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::contenders::{Contender, Kind};

/// Rounds of the lookup, in each of which every contender has its turn; the median counts.
const ROUNDS: usize = 31;
/// What one turn should take, so that a slow contender looks up fewer keys.
const TURN: Duration = Duration::from_millis(2);
/// Builds and changes are timed this often.
const BUILDS: usize = 3;
/// What counting keys may take for one contender and one size.
const COUNTING: Duration = Duration::from_secs(2);
/// Keys counted for each member, where that time allows.
const KEYS_PER_MEMBER: usize = 2000;

/// The figures of one contender with one number of members.
pub struct Figures {
    /// Who.
    pub name: &'static str,
    /// How many members.
    pub members: u32,
    /// One lookup, the hashing of a key of some 20 bytes included.
    pub lookup_ns: f64,
    /// Making it of all members at once.
    pub build_us: f64,
    /// Adding one more.
    pub change_us: f64,
    /// What it keeps on the heap, by member.
    pub bytes_per_member: f64,
    /// The largest share over what its weight entitles it to.
    pub largest_over_fair: f64,
    /// Whether that is exact, or counted.
    pub is_exact: bool,
    /// How many keys moved when the member in the middle left, over how many had to.
    pub moved_over_unavoidable: f64,
    /// Over how many keys the last figures were counted.
    pub counted_keys: usize,
}

/// Measures all who take part at this size, the lookups in interleaved rounds.
pub fn measure(kinds: &[Kind], members: u32) -> Vec<Figures> {
    let kinds: Vec<&Kind> = kinds.iter().filter(|kind| members <= kind.members_max).collect();
    let list: Vec<u32> = (0..members).collect();
    let keys: Vec<String> = (0..1 << 16).map(|number| format!("/user/{number}/profile")).collect();
    let built: Vec<Box<dyn Contender>> = kinds.iter().map(|kind| (kind.make)(&list)).collect();
    let turns: Vec<usize> = built.iter().map(|contender| keys_per_turn(contender.as_ref(), &keys)).collect();
    let mut lookups = vec![Vec::new(); kinds.len()];
    for round in 0..ROUNDS {
        for (at, contender) in built.iter().enumerate() {
            let start = (round * turns[at]) % (keys.len() - turns[at] + 1);
            let elapsed = contender.time(&keys[start..start + turns[at]]);
            lookups[at].push(elapsed.as_nanos() as f64 / turns[at] as f64);
        }
    }
    let figures = kinds.iter().zip(&built).zip(lookups).map(|((kind, built), lookups)| {
        let lookup_ns = median(lookups);
        let count =
            ((COUNTING.as_nanos() as f64 / lookup_ns / 2.0) as usize).min(KEYS_PER_MEMBER * members as usize);
        let (counted, moved_over_unavoidable) = count_keys(kind, &list, count);
        Figures {
            name: kind.name,
            members,
            lookup_ns,
            build_us: median((0..BUILDS).map(|_| build_us(kind, &list)).collect()),
            change_us: median((0..BUILDS).map(|_| change_us(kind, &list)).collect()),
            bytes_per_member: bytes(kind, &list) / f64::from(members),
            largest_over_fair: built.largest_over_fair().unwrap_or(counted),
            is_exact: built.largest_over_fair().is_some(),
            moved_over_unavoidable,
            counted_keys: count,
        }
    });
    figures.collect()
}

fn keys_per_turn(contender: &dyn Contender, keys: &[String]) -> usize {
    let mut count = 16;
    while count < keys.len() && contender.time(&keys[..count]) < TURN {
        count *= 2;
    }
    count
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn build_us(kind: &Kind, members: &[u32]) -> f64 {
    let start = Instant::now();
    black_box((kind.make)(members));
    start.elapsed().as_nanos() as f64 / 1000.0
}

fn change_us(kind: &Kind, members: &[u32]) -> f64 {
    let mut contender = (kind.make)(members);
    let start = Instant::now();
    contender.add(members.len() as u32);
    start.elapsed().as_nanos() as f64 / 1000.0
}

fn bytes(kind: &Kind, members: &[u32]) -> f64 {
    let mut kept = None;
    let info = allocation_counter::measure(|| kept = Some((kind.make)(members)));
    drop(kept);
    info.bytes_current as f64
}

/// The largest share over the fair one, and the movement when the member in the middle leaves.
fn count_keys(kind: &Kind, members: &[u32], count: usize) -> (f64, f64) {
    let left = members[members.len() / 2];
    let (before, mut after) = ((kind.make)(members), (kind.make)(members));
    after.remove(left);
    let mut shares: HashMap<u32, (i64, i64)> = HashMap::new();
    let mut moved = 0;
    for number in 0..count {
        let key = format!("/order/{number}");
        let (was, is) = (before.first(&key), after.first(&key));
        shares.entry(was).or_default().0 += 1;
        shares.entry(is).or_default().1 += 1;
        moved += i64::from(was != is);
    }
    let total: u32 = members.iter().map(|member| (kind.weight)(*member)).sum();
    let over_fair = |(member, counts): (&u32, &(i64, i64))| {
        counts.0 as f64 * f64::from(total) / f64::from((kind.weight)(*member)) / count as f64
    };
    let unavoidable: i64 = shares.values().map(|(was, is)| (was - is).max(0)).sum();
    (shares.iter().map(over_fair).fold(0.0, f64::max), moved as f64 / unavoidable.max(1) as f64)
}

//! Rings of points: nginx's and Pingora's, and libketama's own.
//!
//! Karger et al., "Consistent Hashing and Random Trees" (1997): members own points on a circle of
//! 2^32, a key belongs to the first point at or after its own. The two layouts differ in where the
//! points are; both are kept as they were published, so that who moves here keeps their map.

mod layout;
mod points;

use crate::circle::{Circle, Walk};
use crate::{Key, NamedMember, NoRoom};

pub use layout::{RING_POINTS_MAX, RingLayout};

/// A ring over a list of members; orders name them by their position in that list.
///
/// ```
/// use placement::{NamedMember, Ring, RingLayout};
///
/// let members = ["127.0.0.1:7777", "127.0.0.1:7778"].map(|name| NamedMember::new(name, 1));
/// let ring = Ring::new(RingLayout::Nginx, &members).unwrap();
/// let key = RingLayout::Nginx.key_hash().key(b"/some/path");
/// assert_eq!(ring.order(key).collect::<Vec<_>>(), [1, 0]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Ring {
    hashes: Vec<u32>,
    circle: Circle,
}

impl Ring {
    /// The ring of these members, whatever their order. Names should be distinct: of two members of
    /// one name the first takes the points. Where two members want one point, the lower name has it
    /// (the originals leave that to their sort). Refuses to make more than [`RING_POINTS_MAX`] points.
    pub fn new(layout: RingLayout, members: &[NamedMember]) -> Result<Self, NoRoom> {
        Self::check(layout, members)?;
        let mut points = points::of(layout, members);
        let name = |member: u32| members[member as usize].name();
        points.sort_unstable_by(|(a, one), (b, other)| {
            a.cmp(b).then_with(|| name(*one).cmp(name(*other))).then(one.cmp(other))
        });
        points.dedup_by_key(|(hash, _)| *hash);
        let (hashes, owners) = points.into_iter().unzip();
        Ok(Self { hashes, circle: Circle::new(owners, members) })
    }

    /// Whether [`Ring::new`] would take these members, without making the ring.
    pub fn check(layout: RingLayout, members: &[NamedMember]) -> Result<(), NoRoom> {
        let wanted = points::count(layout, members);
        if wanted > RING_POINTS_MAX { Err(NoRoom::Points { wanted }) } else { Ok(()) }
    }

    /// Every member, the owner of the key's point first, the others as the walk clockwise meets
    /// them, and last those whose weight earns no point. The key's lower 32 bits count.
    pub fn order(&self, key: Key) -> RingOrder<'_> {
        let hash = key.number() as u32;
        let at = self.hashes.partition_point(|point| *point < hash);
        // Behind the last point the circle begins anew.
        RingOrder(self.circle.walk(if at == self.hashes.len() { 0 } else { at }))
    }

    /// The points and the positions of their owners, in rising order.
    pub fn points(&self) -> impl Iterator<Item = (u32, usize)> + '_ {
        self.hashes.iter().zip(self.circle.owners()).map(|(hash, owner)| (*hash, *owner as usize))
    }

    /// Each member's part of the circle, exact: a point owns what lies between it and the one
    /// before.
    pub fn shares(&self) -> Vec<f64> {
        let mut lengths = vec![0_u64; self.circle.members()];
        let mut before = self.hashes.last().map_or(0, |last| i64::from(*last) - (1 << 32));
        for (hash, owner) in self.points() {
            lengths[owner] += (i64::from(hash) - before).unsigned_abs();
            before = i64::from(hash);
        }
        lengths.into_iter().map(|length| length as f64 / (1_u64 << 32) as f64).collect()
    }
}

/// The members of one key, as positions in the list that the ring was made from.
#[derive(Clone, Debug)]
pub struct RingOrder<'a>(Walk<'a>);

impl Iterator for RingOrder<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.0.next().map(|member| member as usize)
    }
}

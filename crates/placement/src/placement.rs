//! One type over the algorithms, so that a routing table need not know which one it uses.

use crate::classic::ClassicOrder;
use crate::named::NamedOrder;
use crate::rendezvous::RendezvousOrder;
use crate::{Classic, Key, KeyHash, Member, Named, NoRoom, Rendezvous, Seat};

/// key → seats in order of preference.
///
/// Rendezvous and classic hash the number of a seat, rings and Maglev tables its name (see
/// [`SeatNames`](crate::SeatNames)). Either way a replacement keeps the seat, hence its keys.
///
/// ```
/// use placement::{Member, Named, NamedAlgorithm, Placement, RingLayout, Seat, SeatNames};
///
/// let names = SeatNames::new(vec!["10.0.0.1:80".into(), "10.0.0.2:80".into()]).unwrap();
/// let mut placement = Placement::Named(Named::new(NamedAlgorithm::Ring(RingLayout::Nginx), names));
/// for number in 1..=2 {
///     placement.insert(Member::new(Seat::new(number).unwrap())).unwrap();
/// }
/// let key = placement.key_hash().key(b"/home");
/// assert_eq!(placement.order(key).count(), 2);
/// ```
#[derive(Clone, Debug)]
pub enum Placement {
    /// Even, weighted, nothing moves that need not.
    Rendezvous(Rendezvous),
    /// The original system's slot table.
    Classic(Classic),
    /// A ring or a Maglev table over the names of the seats.
    Named(Named),
}

impl Placement {
    /// Adds a member, or changes the weight of one that is there; all or nothing. The classic
    /// placement knows no weights.
    pub fn insert(&mut self, member: Member) -> Result<(), NoRoom> {
        match self {
            Self::Rendezvous(rendezvous) => {
                rendezvous.insert(member);
                Ok(())
            }
            Self::Classic(classic) => classic.insert(member),
            Self::Named(named) => named.insert_all([member]),
        }
    }

    /// Takes a member away; one that is not there is no error.
    pub fn remove(&mut self, seat: Seat) {
        match self {
            Self::Rendezvous(rendezvous) => rendezvous.remove(seat),
            Self::Classic(classic) => classic.remove(seat),
            Self::Named(named) => named.remove(seat),
        }
    }

    /// Whether this is the seat of a member.
    pub fn has(&self, seat: Seat) -> bool {
        match self {
            Self::Rendezvous(rendezvous) => rendezvous.has(seat),
            Self::Classic(classic) => classic.holdings().iter().any(|holding| holding.seat == seat),
            Self::Named(named) => named.has(seat),
        }
    }

    /// How bytes are to become keys for this placement.
    #[inline]
    pub fn key_hash(&self) -> KeyHash {
        match self {
            Self::Rendezvous(_) => KeyHash::Xxh3,
            Self::Classic(_) => KeyHash::RequestId,
            Self::Named(named) => named.key_hash(),
        }
    }

    /// Every seat, the best for this key first. Allocates nothing.
    #[inline]
    pub fn order(&self, key: Key) -> Order<'_> {
        match self {
            Self::Rendezvous(rendezvous) => Order::Rendezvous(rendezvous.order(key)),
            Self::Classic(classic) => Order::Classic(classic.order(key)),
            Self::Named(named) => Order::Named(named.order(key)),
        }
    }
}

/// The seats of one key, the best first; made by [`Placement::order`].
#[derive(Clone, Debug)]
pub enum Order<'a> {
    /// By bid.
    Rendezvous(RendezvousOrder<'a>),
    /// By the walk over the slots.
    Classic(ClassicOrder<'a>),
    /// By the walk round the ring or up the table.
    Named(NamedOrder<'a>),
}

impl Iterator for Order<'_> {
    type Item = Seat;

    #[inline]
    fn next(&mut self) -> Option<Seat> {
        match self {
            Self::Rendezvous(order) => order.next(),
            Self::Classic(order) => order.next(),
            Self::Named(order) => order.next(),
        }
    }
}

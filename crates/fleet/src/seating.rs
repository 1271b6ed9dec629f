//! Where keys live: the placement over all seats that are desired or being added. It follows from these and
//! from the configuration, and is never stored.

use placement::{Holding, Member, NoRoom, Placement, Seat, SeatChoice};

use crate::Assignment;

/// The placement, and the weights of its seats.
#[derive(Clone, Debug)]
pub struct Seating {
    placement: Placement,
    /// Of seats 1, 2, 3, …; those behind the end have 1.
    weights: Vec<u32>,
}

impl Seating {
    /// Nobody in an (empty) placement, and the weights of seats 1, 2, 3, …; seats behind the end of
    /// `weights` have 1.
    pub fn new(placement: Placement, weights: Vec<u32>) -> Self {
        Self { placement, weights }
    }

    /// Where keys live.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// A seat with the weight that it was given.
    pub(crate) fn member(&self, seat: Seat) -> Member {
        Member { seat, weight: self.weights.get(seat.index()).copied().unwrap_or(1) }
    }

    /// Puts a seat that was stored back where it was. Slots that the placement's settings no longer allow are
    /// forgotten, and the seat is placed anew.
    pub(crate) fn restore(&mut self, stored: &mut Assignment) -> Result<(), NoRoom> {
        let is_placed = match (&mut self.placement, stored.slots.take()) {
            (Placement::Classic(classic), Some(slots)) => {
                classic.restore(Holding { seat: stored.seat, slots })
            }
            _ => false,
        };
        if !is_placed {
            self.insert(stored.seat)?;
        }
        stored.slots = self.slots(stored.seat);
        Ok(())
    }

    /// Somebody is meant to sit there from now on.
    pub(crate) fn insert(&mut self, seat: Seat) -> Result<(), NoRoom> {
        self.placement.insert(self.member(seat))
    }

    /// Nobody is meant to sit there any more.
    pub(crate) fn remove(&mut self, seat: Seat) {
        self.placement.remove(seat);
    }

    /// The slots that the classic placement gave a seat.
    pub(crate) fn slots(&self, seat: Seat) -> Option<Vec<u16>> {
        let Placement::Classic(classic) = &self.placement else { return None };
        let holding = classic.holdings().iter().find(|holding| holding.seat == seat)?;
        Some(holding.slots.clone())
    }

    /// The seat that a choice prefers, if it has a preference here.
    pub(crate) fn preferred(&self, choice: SeatChoice, taken: &[Seat]) -> Option<Seat> {
        match &self.placement {
            Placement::Classic(classic) => choice.next(classic, taken),
            Placement::Rendezvous(_) | Placement::Named(_) => None,
        }
    }
}

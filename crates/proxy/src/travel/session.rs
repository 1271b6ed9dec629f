//! What becomes of a visitor's session with the response to a request, and the cookie that says so.

use std::time::SystemTime;

use fleet::RoutingTable;
use h1::ResponseHead;
use placement::Seat;

use crate::policies::mark::Mark;
use crate::travel::errand::Errand;

/// Where a session is, and who has answered its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seated {
    /// The seat that the request named, if it did.
    pub(crate) named: Option<Seat>,
    pub(crate) answered: Seat,
}

impl Seated {
    fn mark(self, table: &RoutingTable) -> Mark {
        match self.named {
            None => Mark::SessionBegun,
            Some(named) if named == self.answered => Mark::SessionKept,
            Some(named) if table.has_seat(named) => Mark::SessionAway,
            Some(_) => Mark::SessionMoved,
        }
    }
}

/// Gives the client with a replica's response the cookie that it needs, if sessions are kept.
pub(crate) fn keep<C>(errand: &Errand<'_, C>, seated: Seated, response: &mut ResponseHead) {
    let Some(sticky) = &errand.service.settings.sticky else { return };
    let mark = seated.mark(&errand.service.settings.table.load());
    errand.request.mark(mark);
    let is_due = match mark {
        Mark::SessionKept => sticky.is_old(errand.head, SystemTime::now()),
        mark => mark != Mark::SessionAway,
    };
    if is_due {
        let is_secure = errand.request.is_secure(errand.head);
        if let Some(cookie) = sticky.set_cookie(seated.answered, SystemTime::now(), is_secure) {
            response.push(b"set-cookie", &cookie);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use placement::{Member, Placement, Rendezvous};

    #[test]
    fn a_session_begins_is_kept_goes_away_and_moves() {
        let mut placement = Placement::Rendezvous(Rendezvous::default());
        placement.insert(Member::new(Seat::at_index(0))).unwrap();
        let table = RoutingTable::new(1, placement, &[], 0.0);
        let [there, gone] = [0, 1].map(Seat::at_index);
        for (named, answered, mark) in [
            (None, there, Mark::SessionBegun),
            (Some(there), there, Mark::SessionKept),
            (Some(there), gone, Mark::SessionAway),
            (Some(gone), there, Mark::SessionMoved),
        ] {
            assert_eq!(Seated { named, answered }.mark(&table), mark);
        }
    }
}

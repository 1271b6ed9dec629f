//! When a request is copied for mirrors, and when it is not: when it has ended its way, so that nobody waits for it, and
//! if all of it was kept.

use std::rc::Rc;

use h1::BodyLength;

use crate::clients::client::Client;
use crate::policies::mark::Mark;
use crate::travel::copies::Copy;
use crate::travel::errand::Errand;

/// Copies a request that is over for all who are to have it. Without a body, not all of it was kept.
pub(crate) fn send<C: Client>(errand: &Errand<'_, C>, body: Option<&[u8]>) {
    let (request, copies) = (errand.request, &errand.request.worker.copies);
    for service in request.mirrors() {
        let has_words = errand.head.expects_continue() || errand.head.upgrades().next().is_some();
        let body = body.filter(|_| !has_words && !request.worker.memory.is_short());
        let place = body.and_then(|_| copies.place());
        let (Some(body), Some(place)) = (body, place) else {
            request.mark(Mark::MirrorSkipped);
            continue;
        };
        let mut head = errand.head.clone();
        if head.body() != BodyLength::None {
            head.set_body(BodyLength::Exact(body.len() as u64));
        }
        copies.add(Copy {
            service: Rc::clone(service),
            head,
            body: body.to_vec(),
            origin: request.origin.clone(),
            request_id: errand.client.request_id().map(<[u8]>::to_vec),
            vouched: request.account.vouched.borrow().clone(),
            place,
        });
        request.mark(Mark::Mirrored);
    }
}

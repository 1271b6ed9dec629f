//! Responses of a replica that is not trusted: one half-open, or one whose last response was bad. What it says
//! is believed when it is there whole; until then the request can still go to another one.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use fleet::Claim;
use tokio::time::Instant;

use crate::replicas::upstream::Lease;
use crate::service::Service;
use crate::settings::HELD_RESPONSE_MAX;
use crate::travel::context::RequestContext;
use crate::travel::pace::Patience;
use crate::wire::peer::{Broken, Peer};

/// Whether a response is believed only when it is there whole: one half-open, or one that follows a bad one.
pub(crate) fn is_called_for(claim: &Claim) -> bool {
    claim.is_half_open() || claim.responses.have_failed()
}

/// Whether a bad response says more about the replica than about the request.
pub(crate) fn is_replica_to_blame(claim: &Claim) -> bool {
    claim.is_half_open() || claim.responses.are_failing()
}

/// Pays for another replica's response in place of a bad one; whether there is a better replica and the budget
/// allowed it. If it was the request that this one failed at, the other one loses an attempt by it.
pub(crate) fn pay_for_another(service: &Service, claim: &Claim) -> bool {
    service.settings.table.load().has_better_than(claim.life)
        && service.budget.borrow_mut().withdraw(Instant::now().into_std())
}

/// Whether a response with a body so long is waited for.
pub(crate) fn can_hold(length: u64) -> bool {
    (1..=HELD_RESPONSE_MAX).contains(&length)
}

/// Reads the body that is expected whole, however slowly it comes, as long as something comes.
pub(crate) async fn read_whole(
    request: &RequestContext<'_>,
    lease: &mut Lease,
    idle: Duration,
) -> Result<Vec<u8>, Broken> {
    let mut patience = Patience::begin(request);
    let mut whole = Vec::new();
    poll_fn(|context| {
        request.deadline.register(context.waker());
        loop {
            let length = match lease.poll_body(context) {
                Poll::Ready(Ok([])) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(bytes)) => {
                    whole.extend_from_slice(bytes);
                    bytes.len()
                }
                Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
                Poll::Pending if patience.is_over(request, whole.len() as u64, idle) => {
                    return Poll::Ready(Err(Broken::Gone));
                }
                Poll::Pending => return Poll::Pending,
            };
            lease.consume(length);
        }
    })
    .await?;
    Ok(whole)
}

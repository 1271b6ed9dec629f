//! The line of a request that is looked at: it is written when the request is over, however that comes. What
//! serves a request may be dropped in the middle of it, because its connection has to go.

use std::rc::Rc;

use h1::RequestHead;

use crate::clients::client::Client;
use crate::memory::Holding;
use crate::respond::failure::Failure;
use crate::telling::access_log::line::Ending;
use crate::telling::defences::Defence;
use crate::travel::context::{Asked, Beginning, RequestContext};

/// A request whose line is written at its end.
pub(crate) struct Written<'a, 'r> {
    request: &'a RequestContext<'r>,
    pub(crate) head: &'a mut RequestHead,
    /// The target as the client wrote it, if the head has another by now.
    pub(crate) sent: Option<Vec<u8>>,
    /// Nothing if no log is kept.
    kept: Option<Kept>,
    is_over: bool,
}

struct Kept {
    begun: Beginning,
    /// What its connection holds.
    holding: Option<Rc<Holding>>,
}

impl<'a, 'r> Written<'a, 'r> {
    /// It begins now.
    pub(crate) fn begin<C: Client>(
        request: &'a RequestContext<'r>,
        head: &'a mut RequestHead,
        client: &C,
    ) -> Self {
        let kept = request.worker.access_log.as_ref().map(|_| Kept {
            begun: Beginning::now(client.request_id()),
            holding: request.worker.memory.current(),
        });
        Self { request, head, sent: None, kept, is_over: false }
    }

    /// It is over, and its client has got what there is of an answer, or is gone.
    pub(crate) fn end<C: Client>(mut self, client: &C) {
        self.is_over = true;
        if self.request.account.ending.get() == Ending::ClientLeft
            && let Some(defence) = client.hung_up_for()
        {
            self.hung_up(Failure::HungUp(defence));
        }
    }

    /// It was not the client that went.
    fn hung_up(&self, failure: Failure) {
        let account = &self.request.account;
        account.ending.set(Ending::HungUp);
        account.failure.set(Some(failure));
        if account.status.get() == 0 {
            account.status.set(failure.status());
        }
    }
}

impl Drop for Written<'_, '_> {
    fn drop(&mut self) {
        let Some(Kept { begun, holding }) = &self.kept else { return };
        if !self.is_over {
            let has_to_go = holding.as_ref().is_some_and(|holding| holding.is_closed());
            self.hung_up(if has_to_go { Failure::HungUp(Defence::Memory) } else { Failure::Ended });
        }
        self.request.log(begun, Asked { head: self.head, target: self.sent.as_deref() });
    }
}

//! What every step of a request to a replica needs, under one name: what is asked, by whom, of which
//! service. Owns nothing of it and decides nothing.

use std::time::{Duration, Instant};

use h1::RequestHead;

use crate::service::Service;
use crate::travel::context::RequestContext;

/// A request that has found its service.
pub(crate) struct Errand<'a, C> {
    pub(crate) request: &'a RequestContext<'a>,
    pub(crate) service: &'a Service,
    pub(crate) head: &'a RequestHead,
    pub(crate) client: &'a mut C,
}

impl<C> Errand<'_, C> {
    /// The same one, lent for a part of the way.
    pub(crate) fn lend(&mut self) -> Errand<'_, C> {
        Errand { request: self.request, service: self.service, head: self.head, client: self.client }
    }

    /// When the time is over that the request may take as a whole.
    pub(crate) fn end(&self) -> Option<Instant> {
        Some(self.request.begun + self.service.settings.timeouts.request?)
    }

    /// How much is left of it.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        Some(self.end()?.saturating_duration_since(self.request.deadline.now()))
    }
}

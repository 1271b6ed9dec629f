//! Finds out who sends a request, where a service asks for that: before a byte of its body is read, and before a
//! replica is chosen. What is not known yet is waited for, bounded in time, and for as long as the client waits.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use h1::RequestHead;
use tokio::time::{Instant, timeout};

use crate::clients::client::Client;
use crate::policies::basic_auth::passwords::Finding;
use crate::policies::basic_auth::porters::Ticket;
use crate::policies::basic_auth::{Look, SignIn, took_too_long};
use crate::policies::protection::Guard;
use crate::policies::vouched::USER_NAME;
use crate::respond::failure::Failure;
use crate::travel::context::RequestContext;
use crate::travel::guards::Objection;
use crate::travel::inquiry::{self, Denial};

/// How long a request waits for its turn, and for what comes of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets those pass who say who they are, or whom another service lets pass, and notes it.
pub(crate) async fn pass<C: Client>(
    request: &RequestContext<'_>,
    guard: &Guard,
    head: &RequestHead,
    client: &mut C,
) -> Result<(), Denial> {
    if let Some(sign_in) = &guard.sign_in {
        let user = user(request, sign_in, head, client).await?;
        let mut vouched = request.account.vouched.borrow_mut();
        vouched.get_or_insert_default().say(USER_NAME, user.as_bytes());
    }
    if let Some(auth) = &guard.forward_auth {
        inquiry::ask(request, auth, head, client).await?;
    }
    Ok(())
}

async fn user<C: Client>(
    request: &RequestContext<'_>,
    sign_in: &SignIn,
    head: &RequestHead,
    client: &mut C,
) -> Result<Arc<str>, Objection> {
    let finding = match sign_in.look(head) {
        Look::Known(finding) => finding,
        Look::Refused(answer) => return Err(answer.into()),
        Look::Open(question) => {
            let ticket = sign_in.find_out(question, request.client(head))?;
            wait(request, &ticket, client).await?
        }
    };
    Ok(sign_in.judge(finding)?)
}

async fn wait<C: Client>(
    request: &RequestContext<'_>,
    ticket: &Arc<Ticket>,
    client: &mut C,
) -> Result<Finding, Objection> {
    let begun = Instant::now();
    let left = poll_fn(|context| client.poll_left(context));
    let waited = tokio::select! {
        biased;
        found = timeout(PATIENCE, ticket.finding()) => found.map_err(|_| took_too_long().into()),
        () = left => Err(Failure::ClientLeft.into()),
    };
    let account = &request.account;
    account.waited.set(account.waited.get() + begun.elapsed());
    waited
}

//! A request for a file, from its service to the last byte: it is let in as others are, its file is found and sent.
//! An open file takes one of the descriptors that there are for connections to replicas.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use h1::{BodyLength, Method, RequestHead, ResponseHead};
use tokio::time::Instant;

use crate::clients::client::Client;
use crate::documents::aside::Aside;
use crate::documents::body::FileBody;
use crate::documents::door::Door;
use crate::documents::fault::FileFault;
use crate::documents::folder::Folder;
use crate::documents::open::Waiting;
use crate::documents::place::Place;
use crate::documents::search::{Found, Hit, Search, Unfound};
use crate::documents::shown::{Sheet, Shown};
use crate::policies::compression::accepted;
use crate::policies::mark::Mark;
use crate::respond::failure::Failure;
use crate::respond::limit::Limit;
use crate::respond::response::Reply;
use crate::respond::send;
use crate::telling::access_log::line::Ending;
use crate::telling::unread::Unread;
use crate::travel::errand::Errand;
use crate::travel::inquiry::Denial;
use crate::travel::pace::Patience;
use crate::travel::rounds;
use crate::travel::wait::Waits;
use crate::wire::discard;
use crate::wire::peer::{BodyCopy, CopyFault};

/// Why a client has got nothing yet.
pub(crate) enum Unserved {
    Failed(Failure),
    /// The file is not for it.
    Denied(Denial),
}

impl<T: Into<Failure>> From<T> for Unserved {
    fn from(failure: T) -> Self {
        Self::Failed(failure.into())
    }
}

/// Answers a request, which has come by this door, with a file of this folder. Without an error its client has got a
/// response.
pub(crate) async fn answer<C: Client>(
    mut errand: Errand<'_, C>,
    folder: &Arc<Folder>,
    door: Door<'_>,
) -> Result<(), Unserved> {
    let outcome = go(&mut errand, folder, door).await;
    match &outcome {
        // That there is no such file is an answer.
        Err(Unserved::Failed(Failure::File(fault))) if !fault.is_ours() => {}
        Err(Unserved::Failed(failure)) => rounds::note_unserved(&errand, *failure, 0),
        Ok(()) | Err(Unserved::Denied(_)) => {}
    }
    outcome
}

async fn go<C: Client>(
    errand: &mut Errand<'_, C>,
    folder: &Arc<Folder>,
    door: Door<'_>,
) -> Result<(), Unserved> {
    let (request, service) = (errand.request, errand.service);
    let search = search(errand, folder)?;
    let mut waits = Waits::default();
    let _admission = match service.limits.enter() {
        Some(admission) => admission,
        None => rounds::be_admitted(errand, &mut waits).await?,
    };
    let sockets = &request.worker.sockets;
    let _socket = match sockets.take() {
        Some(socket) => socket,
        None => waits.in_line(errand, Limit::ReplicaConnections, sockets.wait()).await?,
    };
    match find(errand, &search).await? {
        Found::FolderWithoutSlash => {
            let reply = with_slash(errand.head);
            send::reply(request, errand.head, errand.client, reply).await;
        }
        Found::File(hit) => {
            door.pass(errand, &search, &hit.path).await.map_err(Unserved::Denied)?;
            show(errand, folder, hit).await;
        }
    }
    Ok(())
}

/// What is looked for.
fn search<C>(errand: &Errand<'_, C>, folder: &Arc<Folder>) -> Result<Search, FileFault> {
    let head = errand.head;
    if !matches!(head.method(), Method::Get | Method::Head) {
        return Err(FileFault::Method);
    }
    let mut place = match &errand.service.settings.policies.rewrite {
        None => Place::of(head.path(), folder.has_hidden)?,
        Some(rewrite) => {
            let mut target = Vec::new();
            rewrite.write(head, &mut target);
            if rewrite.changes(head.path()) {
                errand.request.mark(Mark::Rewritten);
            }
            let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
            Place::of(path, folder.has_hidden)?
        }
    };
    // What a browser makes of links depends on what it has asked for, and not on what became of that here.
    place.is_open = head.path().ends_with(b"/");
    let codings = accepted::in_order(head.fields(), &folder.precompressed);
    Ok(Search { folder: Arc::clone(folder), place, codings })
}

/// Looks for the file: in memory, or else beside this thread and as long as a replica may take to answer.
async fn find<C: Client>(errand: &mut Errand<'_, C>, search: &Search) -> Result<Found, Failure> {
    let found = match search.run(Waiting::Never) {
        Err(Unfound::WouldWait) => {
            let search = search.clone();
            in_time(errand, Aside::begin(move || search.run(Waiting::May))).await?
        }
        found => found,
    };
    found.map_err(|unfound| match unfound {
        Unfound::NoDescriptor => Failure::OutOfSockets,
        Unfound::Fault(FileFault::Forbidden) => {
            tell_unread(errand, &"the system does not allow it");
            FileFault::Forbidden.into()
        }
        Unfound::Fault(fault) => fault.into(),
        Unfound::Broken(error) => {
            tell_unread(errand, &error);
            FileFault::Unreadable.into()
        }
        // Who may wait does.
        Unfound::WouldWait => FileFault::Late.into(),
    })
}

async fn in_time<C: Client, T>(errand: &mut Errand<'_, C>, work: Aside<T>) -> Result<T, Failure> {
    let limit = errand.service.settings.timeouts.response;
    let (limit, late) = match errand.time_left() {
        Some(left) if left <= limit => (left, Failure::TookTooLong),
        _ => (limit, FileFault::Late.into()),
    };
    let left = poll_fn(|context| errand.client.poll_left(context));
    tokio::select! {
        biased;
        done = work => done.ok_or(Failure::Ended),
        () = left => Err(Failure::ClientLeft),
        () = tokio::time::sleep_until(Instant::now() + limit) => Err(late),
    }
}

fn tell_unread<C>(errand: &Errand<'_, C>, why: &dyn std::fmt::Display) {
    let Errand { request, service, head, .. } = errand;
    let unread = Unread { service: &service.settings.name, path: head.path(), why };
    request.worker.unread.tell(&unread, request.deadline.now());
}

/// Where a folder is, for whoever has written it as a file. No segment of its path is empty, so that it cannot be
/// taken for another host.
fn with_slash(head: &RequestHead) -> Reply {
    let mut location = [head.path(), b"/"].concat();
    if let Some(query) = head.query() {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    let mut reply = Reply::bare(301);
    reply.head.push(b"location", &location);
    reply
}

async fn show<C: Client>(errand: &mut Errand<'_, C>, folder: &Folder, hit: Hit) {
    let (request, head) = (errand.request, errand.head);
    let style = request.style.get();
    let reply = match Shown::of(&hit, folder, head, SystemTime::now()) {
        Shown::File(Sheet { head, pieces }) => {
            let body = FileBody::new(hit.opened.file, pieces, request.worker.memory.is_short());
            return Sending { errand: errand.lend(), body }.go(head).await;
        }
        Shown::Outdated => style.told(412, "the file is not as this request expects it"),
        Shown::NoSuchPart(size) => {
            let mut reply = style.told(416, "the file has nothing of the ranges that are asked for");
            reply.head.push(b"content-range", format!("bytes */{size}").as_bytes());
            reply
        }
    };
    send::refuse(request, head, errand.client, reply).await;
}

/// A file on its way.
struct Sending<'a, C> {
    errand: Errand<'a, C>,
    body: FileBody,
}

impl<C: Client> Sending<'_, C> {
    async fn go(mut self, mut head: ResponseHead) {
        let Errand { request, head: asked, .. } = self.errand;
        request.account.status.set(head.status());
        request.edit_response(&mut head);
        // A body that nobody has read is looked through, for the sake of the connection.
        if !discard::is_at_hand(self.errand.client).await {
            self.errand.client.end_after_this();
        }
        let length = head.body(asked.method());
        let mut encoding = request.compress(asked, &mut head);
        let length = if encoding.is_some() { BodyLength::Chunked } else { length };
        self.errand.client.begin_response(&head, length);
        let mut copy = BodyCopy::default();
        let mut patience = Patience::begin(request);
        let ending = poll_fn(|context| {
            request.deadline.register(context.waker());
            let polled = match &mut encoding {
                Some(encoding) => copy.poll(&mut encoding.of(&mut self.body), self.errand.client, context),
                None => copy.poll(&mut self.body, self.errand.client, context),
            };
            match polled {
                Poll::Ready(Ok(())) => Poll::Ready(Ending::Complete),
                Poll::Ready(Err(CopyFault::From(_))) => Poll::Ready(Ending::FileFailed),
                Poll::Ready(Err(CopyFault::To(_) | CopyFault::TooMuch)) => Poll::Ready(Ending::ClientLeft),
                Poll::Pending => self.look_around(context, &mut patience, &copy),
            }
        })
        .await;
        request.account.bytes.set(copy.bytes);
        request.account.ending.set(ending);
        if ending == Ending::FileFailed {
            let late = "it does not come in time".to_owned();
            let why = self.body.fault.take().map_or(late, |error| error.to_string());
            tell_unread(&self.errand, &why);
        }
        if ending != Ending::Complete {
            self.errand.client.spoil();
        }
    }

    /// Nothing moves: is anybody still there, and is there still time?
    fn look_around(
        &mut self,
        context: &mut Context<'_>,
        patience: &mut Patience,
        copy: &BodyCopy,
    ) -> Poll<Ending> {
        let Errand { request, service, .. } = self.errand;
        if copy.is_held_up {
            self.body.release();
        } else if self.errand.client.poll_left(context).is_ready() {
            return Poll::Ready(Ending::ClientLeft);
        }
        let (limit, late) = if copy.is_held_up {
            (request.worker.clients.timeouts.write, Ending::ClientLeft)
        } else {
            (service.settings.timeouts.idle, Ending::FileFailed)
        };
        let moved = copy.bytes.wrapping_add(u64::from(copy.is_held_up));
        if patience.is_over(request, moved, limit) {
            return Poll::Ready(late);
        }
        match self.errand.end() {
            Some(end) if request.deadline.now() >= end => Poll::Ready(late),
            Some(end) => {
                request.deadline.wake_no_later_than(end);
                Poll::Pending
            }
            None => Poll::Pending,
        }
    }
}

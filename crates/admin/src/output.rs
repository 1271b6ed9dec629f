//! What a replica writes, as a body of lines of JSON that goes on until the replica ends or nobody reads any
//! more. It is for operators: anything may stand in what an application writes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use api::{OutputKind, OutputShape, Problem};
use bytes::Bytes;
use control::{Handle, Journal};
use driver::{Extent, Following, Written};
use fleet::{ReplicaView, harmless_json};
use futures_util::stream::unfold;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::bodies::AnswerBody;
use crate::endings::ending;
use crate::problems::{bad_request, not_found, problem};

/// How many outputs are read at a time. Each takes a connection for as long as it likes, and there are to be
/// enough for everything else.
const READERS_MAX: usize = 16;

/// After so long without a line an empty one is sent: by that it comes out that a reader is gone.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// How many names are told to whoever asks for one that there is not.
const NAMES_MAX: usize = 20;

/// The outputs of replicas.
#[derive(Debug)]
pub(crate) struct Outputs {
    room: Arc<Semaphore>,
}

/// Whose output is asked for, and how.
pub(crate) struct Asked<'a> {
    pub(crate) replica: &'a str,
    pub(crate) query: Option<&'a str>,
}

impl Default for Outputs {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(READERS_MAX)) }
    }
}

impl Outputs {
    /// A response that goes on.
    pub(crate) async fn answer(
        &self,
        journal: &Journal,
        handle: Handle,
        asked: &Asked<'_>,
    ) -> Result<Response<AnswerBody>, Problem> {
        let extent = extent(asked.query)?;
        let replica = find(&handle, asked.replica)?;
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| {
            let detail = format!("{READERS_MAX} read the output of replicas already, which is the most");
            problem(StatusCode::SERVICE_UNAVAILABLE, detail)
        })?;
        let Some(following) = handle.output(replica.life, extent).await else {
            return Err(problem(StatusCode::CONFLICT, why_unknown(&handle, &replica)));
        };
        let journal = journal.clone();
        let reading = Reading { following: Some(following), extent, replica, handle, journal, _room: room };
        let frames = unfold(reading, |mut reading| async move {
            let text = reading.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), reading))
        });
        let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
        let media_type = HeaderValue::from_static("application/x-ndjson");
        response.headers_mut().insert(CONTENT_TYPE, media_type);
        Ok(response)
    }
}

/// An output on its way to one reader.
struct Reading {
    /// Nothing when all was told but the end.
    following: Option<Following>,
    extent: Extent,
    replica: ReplicaView,
    handle: Handle,
    journal: Journal,
    _room: OwnedSemaphorePermit,
}

impl Reading {
    /// The next line of the body; nothing behind the last.
    async fn next(&mut self) -> Option<String> {
        let following = self.following.as_mut()?;
        let Ok(written) = tokio::time::timeout(SILENCE_MAX, following.next()).await else {
            return Some("\n".to_owned());
        };
        let (kind, text) = match written {
            Some(Written::Line(line)) => (OutputKind::Line, line.to_string()),
            Some(Written::LeftOut(lines)) => {
                let plural = if lines == 1 { "" } else { "s" };
                (
                    OutputKind::LeftOut,
                    format!("{lines} line{plural} left out: they came quicker than they were taken"),
                )
            }
            Some(Written::Broken(why)) => {
                self.following = None;
                (OutputKind::Broken, why.to_string())
            }
            None => {
                self.following = None;
                return self.end().await;
            }
        };
        Some(self.line(kind, text))
    }

    async fn end(&self) -> Option<String> {
        if self.extent == Extent::LastLines {
            return None;
        }
        let ending = ending(&self.journal, &self.handle, &self.replica).await;
        Some(match ending {
            Some(ending) => self.line(OutputKind::Ended, ending),
            None => self.line(OutputKind::Broken, "its output has ended, and it runs on".to_owned()),
        })
    }

    fn line(&self, kind: OutputKind, text: String) -> String {
        let shape = OutputShape { replica: self.replica.name.to_string(), kind, text };
        let text = serde_json::to_string(&shape).expect("our shapes hold nothing that JSON cannot");
        harmless_json(&text).into_owned() + "\n"
    }
}

fn extent(query: Option<&str>) -> Result<Extent, Problem> {
    match query {
        None | Some("" | "follow=false") => Ok(Extent::LastLines),
        Some("follow=true") => Ok(Extent::UntilItsEnd),
        Some(_) => Err(bad_request("the query may be follow=true or follow=false")),
    }
}

/// The replica of that name; of several, one that runs.
fn find(handle: &Handle, name: &str) -> Result<ReplicaView, Problem> {
    let view = handle.view();
    let all = || view.fleet.replicas.iter().chain(&view.fleet.spares).chain(&view.fleet.others);
    let mut of_that_name: Vec<_> = all().filter(|one| one.name.as_str() == name).collect();
    of_that_name.sort_by_key(|one| one.address.is_none());
    of_that_name.first().map(|one| (*one).clone()).ok_or_else(|| {
        let names: Vec<&str> = all().map(|one| one.name.as_str()).collect();
        not_found(format!("there is no replica '{}'; {}", fleet::harmless(name), known(&names)))
    })
}

/// Which names there are, as many as can be read.
fn known(names: &[&str]) -> String {
    let more = names.len().saturating_sub(NAMES_MAX);
    let told = names.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
    match (names.is_empty(), more) {
        (true, _) => "there is none at all".to_owned(),
        (false, 0) => format!("there are: {told}"),
        (false, more) => format!("there are: {told}, and {more} more"),
    }
}

fn why_unknown(handle: &Handle, replica: &ReplicaView) -> String {
    let name = &replica.name;
    if replica.address.is_some() && handle.view().running.whereabouts(replica.life).is_none() {
        return format!("what '{name}' writes is known only to whoever runs it");
    }
    let reason = replica.reason.as_ref().map(|reason| format!(": {reason}"));
    format!("'{name}' does not run: it is {}{}", replica.state.as_str(), reason.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_whether_to_go_on() {
        for (query, expected) in [
            (None, Ok(Extent::LastLines)),
            (Some(""), Ok(Extent::LastLines)),
            (Some("follow=false"), Ok(Extent::LastLines)),
            (Some("follow=true"), Ok(Extent::UntilItsEnd)),
            (Some("follow=1"), Err(400)),
            (Some("follow=true&tail=5"), Err(400)),
        ] {
            assert_eq!(extent(query).map_err(|problem| problem.status), expected, "{query:?}");
        }
    }

    #[test]
    fn of_many_names_some_are_told() {
        assert_eq!(known(&[]), "there is none at all");
        assert_eq!(known(&["a", "b"]), "there are: a, b");
        assert!(known(&["a"; NAMES_MAX + 2]).ends_with(", a, and 2 more"));
    }
}

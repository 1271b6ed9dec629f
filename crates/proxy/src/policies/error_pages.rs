//! Pages that stand for errors: which for which status, and what becomes of the head of a response whose body is one
//! of them. They are read once, and lie here whole. What the status says stays, and so does whatever is not about
//! the body.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use h1::{BodyLength, ResponseHead};

use crate::documents::folder::usual_type;

/// The most that a page may be, in bytes. All of them are kept in memory.
const PAGE_BYTES_MAX: u64 = 256 << 10;

/// Fields that are about a body, which is another one now. Names in lower case.
const OF_BODY: [&[u8]; 13] = [
    b"content-type",
    b"content-length",
    b"content-encoding",
    b"content-language",
    b"content-location",
    b"content-disposition",
    b"content-range",
    b"content-digest",
    b"repr-digest",
    b"content-md5",
    b"etag",
    b"last-modified",
    b"accept-ranges",
];

/// Which errors a page stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Statuses {
    /// This one, from 400 to 599.
    One(u16),
    /// All that begin with this digit: 4 or 5.
    Class(u16),
}

/// Which pages there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorPages {
    /// The files that they are read from.
    pub files: BTreeMap<Statuses, PathBuf>,
    /// Whether they stand also for what replicas answer.
    pub replace_errors: bool,
}

/// Why a page cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the page {file} for {statuses} cannot be used", file = file.display())]
pub struct PageError {
    statuses: Statuses,
    file: PathBuf,
    source: io::Error,
}

/// Pages that were read.
#[derive(Clone, Debug)]
pub struct Pages {
    by_status: BTreeMap<Statuses, Page>,
    replace_errors: bool,
}

/// One page.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    media_type: String,
    body: Bytes,
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(status) => status.fmt(f),
            Self::Class(digit) => write!(f, "{digit}xx"),
        }
    }
}

impl fmt::Display for ErrorPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statuses: Vec<String> = self.files.keys().map(Statuses::to_string).collect();
        let whose = if self.replace_errors { ", also for what replicas answer" } else { "" };
        write!(f, "pages stand for {}{whose}", statuses.join(", "))
    }
}

impl ErrorPages {
    /// Reads all of them; nothing if there are none.
    pub fn load(&self) -> Result<Option<Arc<Pages>>, PageError> {
        if self.files.is_empty() {
            return Ok(None);
        }
        let mut by_status = BTreeMap::new();
        for (statuses, file) in &self.files {
            let page = Page::read(file).map_err(|source| PageError {
                statuses: *statuses,
                file: file.clone(),
                source,
            })?;
            by_status.insert(*statuses, page);
        }
        Ok(Some(Arc::new(Pages { by_status, replace_errors: self.replace_errors })))
    }
}

impl Pages {
    /// The one that stands for an answer of ours with this status; one for the status itself before one for all of
    /// its kind.
    pub(crate) fn of(&self, status: u16) -> Option<&Page> {
        if !(400..600).contains(&status) {
            return None;
        }
        let one = self.by_status.get(&Statuses::One(status));
        one.or_else(|| self.by_status.get(&Statuses::Class(status / 100)))
    }

    /// The one that stands for such an answer of a replica.
    pub(crate) fn of_replica(&self, status: u16) -> Option<&Page> {
        self.of(status).filter(|_| self.replace_errors)
    }
}

impl Page {
    fn read(path: &Path) -> io::Result<Self> {
        let mut body = Vec::new();
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no plain file"));
        }
        file.take(PAGE_BYTES_MAX + 1).read_to_end(&mut body)?;
        if body.len() as u64 > PAGE_BYTES_MAX {
            return Err(io::Error::other(format!("it is larger than {PAGE_BYTES_MAX} bytes")));
        }
        let media_type = usual_type(path.as_os_str().as_encoded_bytes(), Some("utf-8"));
        Ok(Self { media_type, body: body.into() })
    }

    /// Makes a head one of this page. Its body.
    pub(crate) fn take_place_in(&self, head: &mut ResponseHead) -> Bytes {
        head.retain_fields(|name| !OF_BODY.iter().any(|gone| name.eq_ignore_ascii_case(gone)));
        head.push(b"content-type", self.media_type.as_bytes());
        head.set_body(BodyLength::Exact(self.body.len() as u64));
        self.body.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::fs;

    use h1::{HeadLimits, Method};

    use super::*;

    fn pages(statuses: &[Statuses], replace_errors: bool) -> Arc<Pages> {
        let folder = tempfile::tempdir().unwrap();
        let file = |statuses: &Statuses| {
            let path = folder.path().join(format!("{statuses}.html"));
            fs::write(&path, statuses.to_string()).unwrap();
            (*statuses, path)
        };
        ErrorPages { files: statuses.iter().map(file).collect(), replace_errors }.load().unwrap().unwrap()
    }

    #[test]
    fn a_page_of_its_own_comes_before_that_of_all_of_its_kind() {
        let pages = pages(&[Statuses::One(404), Statuses::Class(4), Statuses::One(502)], false);
        for (status, expected) in [
            (404, Some("404")),
            (403, Some("4xx")),
            (499, Some("4xx")),
            (502, Some("502")),
            (503, None),
            (200, None),
            (304, None),
            (601, None),
        ] {
            let body = pages.of(status).map(|page| page.body.to_vec());
            assert_eq!(body.as_deref(), expected.map(str::as_bytes), "{status}");
            assert!(pages.of_replica(status).is_none());
        }
    }

    #[test]
    fn what_is_not_about_the_body_stays() {
        let pages = pages(&[Statuses::Class(5)], true);
        let mut head = ResponseHead::default();
        let text = "HTTP/1.1 503 Busy\r\nContent-Type: application/json\r\nContent-Length: 900\r\nETag: \"a\"\r\n\
                    Content-Encoding: br\r\nRetry-After: 7\r\nSet-Cookie: a=b\r\nAccess-Control-Allow-Origin: *\r\n\r\n";
        head.parse(text.as_bytes(), &HeadLimits::default()).unwrap();
        let body = pages.of_replica(503).unwrap().take_place_in(&mut head);
        let fields: Vec<String> = head
            .fields()
            .iter()
            .map(|field| String::from_utf8_lossy(field.name_bytes).to_lowercase())
            .collect();
        assert_eq!(fields, ["retry-after", "set-cookie", "access-control-allow-origin", "content-type"]);
        assert_eq!((head.status(), head.body(Method::Get)), (503, BodyLength::Exact(body.len() as u64)));
    }

    #[test]
    fn what_cannot_be_a_page_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let large = folder.path().join("large.html");
        fs::write(&large, vec![b'x'; PAGE_BYTES_MAX as usize + 1]).unwrap();
        for (path, why) in [
            (large, "larger than"),
            (folder.path().to_owned(), "no plain file"),
            ("/nowhere".into(), "No such file"),
        ] {
            let files = BTreeMap::from([(Statuses::One(404), path)]);
            let error = ErrorPages { files, replace_errors: false }.load().unwrap_err();
            let source = error.source().unwrap().to_string();
            assert!(error.to_string().contains("for 404 cannot be used") && source.contains(why), "{source}");
        }
        assert!(ErrorPages::default().load().unwrap().is_none());
    }
}

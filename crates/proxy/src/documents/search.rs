//! Which file a request gets: the one that it names, the same with a suffix, the one that stands for a folder, or
//! the fallback; and of that, perhaps one beside it that is compressed already. A few looks, each bounded by what
//! is configured.

use std::sync::Arc;

use rustix::io::Errno;

use crate::documents::fault::FileFault;
use crate::documents::folder::Folder;
use crate::documents::open::{Opened, Root, Thing, Waiting};
use crate::documents::place::Place;
use crate::policies::compression::coding::Coding;

/// What is looked for.
#[derive(Clone)]
pub(super) struct Search {
    pub(super) folder: Arc<Folder>,
    pub(super) place: Place,
    /// What the client reads of the codings that files are kept in, what it likes best first.
    pub(super) codings: Vec<Coding>,
}

/// What was found.
pub(super) enum Found {
    File(Hit),
    /// It is a folder, and is written without the slash at its end: what it links to would lead elsewhere.
    FolderWithoutSlash,
}

/// A file for a client.
pub(super) struct Hit {
    pub(super) opened: Opened,
    /// Its path below the folder, without the ending of its coding.
    pub(super) path: Vec<u8>,
    /// How it is compressed.
    pub(super) coding: Option<Coding>,
}

/// Why nothing was found.
#[derive(Debug)]
pub(super) enum Unfound {
    /// It would have to be waited for.
    WouldWait,
    /// So many files are open already that no other can be.
    NoDescriptor,
    Fault(FileFault),
    /// It is there, and something is wrong.
    Broken(Errno),
}

impl Search {
    /// Looks for it. Blocks, if it may.
    pub(super) fn run(&self, waiting: Waiting) -> Result<Found, Unfound> {
        let told = |error| told(error, waiting);
        // Without the folder nothing is missing, but all of it.
        let root = Root::open(&self.folder.root, waiting).map_err(|error| match told(error) {
            Unfound::Fault(_) => Unfound::Broken(error),
            told => told,
        })?;
        let found = self.by_path(&root).map_err(told)?;
        if let Some(found) = found {
            return Ok(found);
        }
        let Some(fallback) = &self.folder.fallback else {
            return Err(Unfound::Fault(FileFault::Missing));
        };
        let path = fallback.trim_start_matches('/').as_bytes();
        self.hit(&root, path).map(Found::File).map_err(told)
    }

    /// What the path leads to, if it leads anywhere.
    fn by_path(&self, root: &Root) -> Result<Option<Found>, Errno> {
        let Place { path, is_open } = &self.place;
        let thing = look(root, path)?;
        match (thing, is_open) {
            (Some(Thing::File), false) => self.hit(root, path).map(|hit| Some(Found::File(hit))),
            (Some(Thing::Folder), true) => self.index(root),
            (Some(Thing::Folder), false) => match self.with_suffix(root)? {
                Some(found) => Ok(Some(found)),
                None => self.index(root),
            },
            (None, false) => self.with_suffix(root),
            (Some(Thing::File | Thing::Other) | None, _) => Ok(None),
        }
    }

    /// The file that stands for the folder, if one does.
    fn index(&self, root: &Root) -> Result<Option<Found>, Errno> {
        let Place { path, is_open } = &self.place;
        for name in &self.folder.index {
            let mut inner = path.clone();
            if !inner.is_empty() {
                inner.push(b'/');
            }
            inner.extend_from_slice(name.as_bytes());
            if let Some(Thing::File) = look(root, &inner)? {
                if !is_open {
                    return Ok(Some(Found::FolderWithoutSlash));
                }
                return self.hit(root, &inner).map(|hit| Some(Found::File(hit)));
            }
        }
        Ok(None)
    }

    fn with_suffix(&self, root: &Root) -> Result<Option<Found>, Errno> {
        for suffix in &self.folder.suffixes {
            let longer = [&self.place.path, suffix.as_bytes()].concat();
            if let Some(Thing::File) = look(root, &longer)? {
                return self.hit(root, &longer).map(|hit| Some(Found::File(hit)));
            }
        }
        Ok(None)
    }

    /// The file at a path, compressed if there is such a one beside it that its client reads. One that is older
    /// than what it was made of shows what is there no more.
    fn hit(&self, root: &Root, path: &[u8]) -> Result<Hit, Errno> {
        let opened = root.read(path)?;
        for coding in &self.codings {
            let beside = [path, coding.ending().as_bytes()].concat();
            if let Some(beside) = neighbour(root, &beside)?
                && beside.facts.modified >= opened.facts.modified
            {
                return Ok(Hit { opened: beside, path: path.to_vec(), coding: Some(*coding) });
            }
        }
        Ok(Hit { opened, path: path.to_vec(), coding: None })
    }
}

/// What there is at a path; nothing, if there is nothing that is within the folder.
fn look(root: &Root, path: &[u8]) -> Result<Option<Thing>, Errno> {
    match root.look(path) {
        Ok(thing) => Ok(Some(thing)),
        Err(error) if is_absence(error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The file at a path, if it can be had. What is wrong with it is nothing to who asks for the one that it is beside.
fn neighbour(root: &Root, path: &[u8]) -> Result<Option<Opened>, Errno> {
    let read = match root.look(path) {
        Ok(Thing::File) => root.read(path),
        Ok(Thing::Folder | Thing::Other) => return Ok(None),
        Err(error) => Err(error),
    };
    match read {
        Ok(opened) => Ok(Some(opened)),
        // Later, or with more descriptors, it might be had.
        Err(error @ (Errno::AGAIN | Errno::MFILE | Errno::NFILE)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Whether nothing is there, as far as clients are concerned: also where a link leads out of the folder.
fn is_absence(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP | Errno::XDEV)
}

fn told(error: Errno, waiting: Waiting) -> Unfound {
    match error {
        // Where nothing may be waited for, the second says that the system is too old to be asked so.
        Errno::AGAIN | Errno::INVAL if waiting == Waiting::Never => Unfound::WouldWait,
        Errno::MFILE | Errno::NFILE => Unfound::NoDescriptor,
        Errno::ACCESS | Errno::PERM => Unfound::Fault(FileFault::Forbidden),
        error if is_absence(error) => Unfound::Fault(FileFault::Missing),
        error => Unfound::Broken(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::{Duration, SystemTime};

    use super::*;

    fn found(root: &Path, path: &str, change: impl FnOnce(&mut Folder)) -> String {
        let mut folder = Folder { root: root.to_owned(), ..Folder::default() };
        change(&mut folder);
        let codings = folder.precompressed.clone();
        let place = match Place::of(path.as_bytes(), folder.has_hidden) {
            Ok(place) => place,
            Err(fault) => return format!("{fault:?}"),
        };
        let search = Search { folder: Arc::new(folder), place, codings };
        match search.run(Waiting::May) {
            Ok(Found::FolderWithoutSlash) => "slash".to_owned(),
            Ok(Found::File(hit)) => {
                let coding = hit.coding.map(|coding| format!(" {}", coding.name())).unwrap_or_default();
                format!("{}{coding}", String::from_utf8(hit.path).unwrap())
            }
            Err(Unfound::Fault(fault)) => format!("{fault:?}"),
            Err(unfound) => format!("{unfound:?}"),
        }
    }

    fn write(root: &Path, path: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    #[test]
    fn what_is_tried_is_tried_in_this_order() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["index.html", "a.html", "a/b.txt", "docs/index.html", "both/index.html", "both.html"] {
            write(root, path);
        }
        let plain = |path: &str| found(root, path, |_| {});
        for (path, expected) in [
            ("/", "index.html"),
            ("/a.html", "a.html"),
            ("/a.html/", "Missing"),
            ("/a.html/x", "Missing"),
            ("/a/b.txt", "a/b.txt"),
            ("/a/", "Missing"),
            ("/a", "Missing"),
            ("/docs", "slash"),
            ("/docs/", "docs/index.html"),
            ("/none", "Missing"),
            (&format!("/{}", "n".repeat(5000)), "Missing"),
        ] {
            assert_eq!(plain(path), expected, "{path}");
        }
        let rich = |path: &str| {
            found(root, path, |folder| {
                folder.suffixes = vec![".htm".to_owned(), ".html".to_owned()];
                folder.fallback = Some("/index.html".to_owned());
            })
        };
        for (path, expected) in [
            ("/a", "a.html"),
            ("/both", "both.html"),
            ("/both/", "both/index.html"),
            ("/docs", "slash"),
            ("/docs/", "docs/index.html"),
            ("/none/at/all", "index.html"),
            ("/none/", "index.html"),
            ("/.env", "Missing"),
        ] {
            assert_eq!(rich(path), expected, "{path}");
        }
    }

    #[test]
    fn nothing_outside_of_the_folder_is_ever_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("site");
        write(&root, "in/page.html");
        write(folder.path(), "secret");
        symlink("in/page.html", root.join("inside")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink(folder.path().join("secret"), root.join("absolute")).unwrap();
        symlink(root.join("in/page.html"), root.join("absolute-inside")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        let listener = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        for (path, expected) in [
            ("/inside", "inside"),
            ("/in/page.html", "in/page.html"),
            ("/out", "Missing"),
            ("/absolute", "Missing"),
            ("/absolute-inside", "Missing"),
            ("/up/secret", "Missing"),
            ("/up/site/in/page.html", "Missing"),
            ("/loop", "Missing"),
            ("/magic/etc/passwd", "Missing"),
            ("/pipe", "Missing"),
            ("/socket", "Missing"),
        ] {
            let found = found(&root, path, |folder| folder.has_hidden = true);
            assert_eq!(found, expected, "{path}");
        }
        drop(listener);
        fs::remove_dir_all(&root).unwrap();
        assert!(found(&root, "/", |_| {}).starts_with("Broken"));
    }

    #[test]
    fn a_compressed_file_stands_for_one_that_is_no_newer() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["app.js", "app.js.br", "app.js.gz", "old.js", "old.js.br", "plain.js", "only.js.br"] {
            write(root, path);
        }
        let made = SystemTime::now() - Duration::from_secs(60);
        fs::File::open(root.join("old.js.br")).unwrap().set_modified(made).unwrap();
        let with = |path: &str, codings: &[Coding]| {
            found(root, path, |folder| folder.precompressed = codings.to_vec())
        };
        let both = [Coding::Brotli, Coding::Gzip];
        // What was written first is no newer.
        let now = SystemTime::now();
        for path in ["app.js", "app.js.br", "app.js.gz"] {
            fs::File::open(root.join(path)).unwrap().set_modified(now).unwrap();
        }
        for (path, codings, expected) in [
            ("/app.js", &both[..], "app.js br"),
            ("/app.js", &both[1..], "app.js gzip"),
            ("/app.js", &[], "app.js"),
            ("/old.js", &both, "old.js"),
            ("/plain.js", &both, "plain.js"),
            ("/only.js", &both, "Missing"),
            ("/app.js.br", &both, "app.js.br"),
        ] {
            assert_eq!(with(path, codings), expected, "{path} {codings:?}");
        }
    }

    #[test]
    fn a_compressed_file_that_cannot_be_had_takes_nothing_from_its_neighbour() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, "app.js");
        write(root, "made.gz");
        let with = |path: &str| found(root, path, |folder| folder.precompressed = vec![Coding::Gzip]);
        let (beside, made) = (root.join("app.js.gz"), root.join("made.gz"));
        symlink(&made, &beside).unwrap();
        assert_eq!(with("/app.js"), "app.js", "it leads out of the folder");
        fs::remove_file(&beside).unwrap();
        fs::create_dir(&beside).unwrap();
        assert_eq!(with("/app.js"), "app.js", "it is a folder");
        fs::remove_dir(&beside).unwrap();
        fs::hard_link(&made, &beside).unwrap();
        fs::set_permissions(&beside, PermissionsExt::from_mode(0o000)).unwrap();
        // Root may read it all the same.
        assert!(matches!(with("/app.js").as_str(), "app.js" | "app.js gzip"));

        let (is_over, beside) = (AtomicBool::new(false), &beside);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    fs::remove_file(beside).unwrap();
                    fs::hard_link(&made, beside).unwrap();
                }
            });
            let all: BTreeSet<String> = (0..5000).map(|_| with("/app.js")).collect();
            is_over.store(true, Ordering::Relaxed);
            assert!(all.iter().all(|one| one.starts_with("app.js")), "{all:?}");
        });
    }
}

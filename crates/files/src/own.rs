//! What is ours: by its owner, and by who may write there.

use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::geteuid;

/// Others in the group, and everybody else, may write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Why a file or folder is not used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it means")]
pub enum NotOurs {
    #[error("cannot use {}", path.display())]
    Unusable { path: PathBuf, source: io::Error },
    #[error("{} is a link, and whoever made it may not be us; put the folder or file itself there", path.display())]
    Link { path: PathBuf },
    #[error("{} is not a {expected}", path.display())]
    OtherKind { path: PathBuf, expected: &'static str },
    #[error("{} belongs to another account (uid {owner}, we are {uid}); remove it or choose another place", path.display())]
    OtherOwner { path: PathBuf, owner: u32, uid: u32 },
    #[error("others may {deed} {} (mode {mode:o}); run: chmod {fix} '{}'", path.display(), path.display())]
    OpenToOthers { path: PathBuf, deed: &'static str, mode: u32, fix: &'static str },
}

/// Makes a folder, for this account only, unless it is there; then it must be ours (or root's), itself and
/// no link, and nobody else may write there. Missing parents are made, too.
pub fn ensure_own_folder(path: &Path) -> Result<(), NotOurs> {
    let unusable = |source| NotOurs::Unusable { path: path.to_owned(), source };
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => {}
        // What is there is looked at below.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(unusable(error)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = open(path, flags, Mode::empty()).map_err(|error| match error {
        Errno::LOOP | Errno::NOTDIR if path.is_symlink() => NotOurs::Link { path: path.to_owned() },
        Errno::NOTDIR => NotOurs::OtherKind { path: path.to_owned(), expected: "folder" },
        error => unusable(error.into()),
    })?;
    let metadata = File::from(folder).metadata().map_err(unusable)?;
    belongs_to_us(path, &metadata)?;
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        let mode = metadata.mode() & 0o7777;
        let path = path.to_owned();
        return Err(NotOurs::OpenToOthers { path, deed: "write to", mode, fix: "go-w" });
    }
    Ok(())
}

/// Opens a file to read, if it is a file, ours (or root's), no link, and nobody else may read or write it.
/// Nothing if there is none.
pub fn open_own(path: &Path) -> Result<Option<File>, NotOurs> {
    let unusable = |source| NotOurs::Unusable { path: path.to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(NotOurs::Link { path: path.to_owned() }),
        Err(error) => return Err(unusable(error.into())),
    };
    let metadata = file.metadata().map_err(unusable)?;
    if !metadata.is_file() {
        return Err(NotOurs::OtherKind { path: path.to_owned(), expected: "file" });
    }
    belongs_to_us(path, &metadata)?;
    if metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o7777;
        let path = path.to_owned();
        return Err(NotOurs::OpenToOthers { path, deed: "read or write", mode, fix: "600" });
    }
    Ok(Some(file))
}

fn belongs_to_us(path: &Path, metadata: &Metadata) -> Result<(), NotOurs> {
    let (owner, uid) = (metadata.uid(), geteuid().as_raw());
    if owner == uid || owner == 0 {
        return Ok(());
    }
    Err(NotOurs::OtherOwner { path: path.to_owned(), owner, uid })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    #[test]
    fn a_folder_is_made_for_us_alone_and_taken_again() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        ensure_own_folder(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        ensure_own_folder(&folder).unwrap();
    }

    #[test]
    fn links_files_and_what_others_may_write_to_are_refused_with_what_to_do() {
        let parent = tempfile::tempdir().unwrap();
        let (real, link, file) = (parent.path().join("r"), parent.path().join("l"), parent.path().join("f"));
        fs::create_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        fs::write(&file, "").unwrap();
        assert!(matches!(ensure_own_folder(&link), Err(NotOurs::Link { .. })));
        assert!(matches!(ensure_own_folder(&file), Err(NotOurs::OtherKind { .. })));
        for mode in [0o777, 0o1777, 0o770] {
            fs::set_permissions(&real, Permissions::from_mode(mode)).unwrap();
            let refused = ensure_own_folder(&real).unwrap_err().to_string();
            assert!(
                refused.contains(&format!("mode {mode:o}")) && refused.contains("chmod go-w"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_file_is_opened_only_if_it_is_ours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("f"), folder.path().join("l"));
        assert!(open_own(&file).unwrap().is_none());
        fs::write(&file, "x").unwrap();
        symlink(&file, &link).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(open_own(&file), Err(NotOurs::OpenToOthers { mode: 0o640, .. })));
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        assert!(open_own(&file).unwrap().is_some());
        assert!(matches!(open_own(&link), Err(NotOurs::Link { .. })));
        assert!(matches!(open_own(folder.path()), Err(NotOurs::OtherKind { .. })));
    }

    #[test]
    fn what_belongs_to_another_account_is_refused() {
        if !geteuid().is_root() {
            eprintln!("skipped: only root can make files of another account");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        chown(&file, Some(1234), None).unwrap();
        chown(folder.path(), Some(1234), None).unwrap();
        assert!(matches!(open_own(&file), Err(NotOurs::OtherOwner { owner: 1234, uid: 0, .. })));
        assert!(matches!(ensure_own_folder(folder.path()), Err(NotOurs::OtherOwner { owner: 1234, .. })));
    }
}

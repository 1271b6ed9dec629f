//! Secrets on their way into containers, as files in `/run/secrets`.
//!
//! Owns the copies of what they hold: in a folder that only the balancer's account may enter, each under a digest
//! that nobody without the balancer's own secret can make. So a replica that is started later has what was
//! deployed, whatever its file says by then. A container gets the copy and not a variable or a label: neither the
//! engine's answers nor a log has it. Nothing else of the container can write it.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf, absolute};

use super::fittings::{Source, Volume};
use super::settings::DockerSettings;
use crate::DriverError;

/// Where they are in a container.
const FOLDER_INSIDE: &str = "/run/secrets";

/// Whoever the container runs as may read its copy; nobody else gets into the folder that it is in.
const COPY_MODE: u32 = 0o444;

/// Writes the copies that are not there yet, before anything of a release is started.
pub(super) fn keep(settings: &DockerSettings) -> Result<(), DriverError> {
    let folder = folder(settings);
    for (digest, bytes) in settings.contents.by_digest() {
        let kept = keep_one(&folder, digest, bytes);
        kept.map_err(|error| {
            DriverError::caused(format!("cannot keep secrets in {}", folder.display()), error)
        })?;
    }
    Ok(())
}

fn keep_one(folder: &Path, digest: &str, bytes: &[u8]) -> io::Result<()> {
    let path = folder.join(digest);
    if path.is_file() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(folder);
    for folder in [parent, folder] {
        files::ensure_own_folder(folder).map_err(io::Error::other)?;
    }
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    // Nobody has it before it is whole, and before its mode is what it is to be.
    files::replace(&path, bytes, 0o600)?;
    fs::set_permissions(&path, Permissions::from_mode(COPY_MODE))
}

/// Removes the copies that none of these releases has. Who runs keeps what it has.
pub(super) fn forget_others<'a>(settings: &DockerSettings, known: impl Iterator<Item = &'a DockerSettings>) {
    let known: BTreeSet<&String> = known.flat_map(|one| one.fittings.secrets.values()).collect();
    let Ok(entries) = fs::read_dir(folder(settings)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !known.contains(&name)
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!("the copy of a secret that nobody has any more cannot be removed: {error}");
        }
    }
}

/// The copies as they are in a container.
pub(super) fn mounts(settings: &DockerSettings) -> Vec<Volume> {
    let folder = folder(settings);
    let mount = |(name, digest): (&String, &String)| Volume {
        source: Source::Host(folder.join(digest).to_string_lossy().into_owned()),
        target: format!("{FOLDER_INSIDE}/{name}"),
        read_only: true,
    };
    settings.fittings.secrets.iter().map(mount).collect()
}

fn folder(settings: &DockerSettings) -> PathBuf {
    let folder = settings.records.secrets().join(&settings.environment.service);
    // An engine has no folder to begin at.
    absolute(&folder).unwrap_or(folder)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use files::Secret;

    use super::super::contents::Contents;
    use super::super::fittings::Fittings;
    use super::super::fixtures::settings;
    use super::super::records::DockerRecords;
    use super::*;

    fn with(content: &str, folder: &Path) -> DockerSettings {
        let secret = Secret::of([1; 32]);
        let secrets = BTreeMap::from([("password".to_owned(), content.as_bytes().to_vec())]);
        let (contents, secrets) = Contents::of(secrets, &secret);
        let records = DockerRecords { folder: folder.join("docker"), secret };
        let fittings = Fittings { secrets, ..Fittings::default() };
        DockerSettings { records, fittings, contents, ..settings() }
    }

    #[test]
    fn a_copy_is_in_a_folder_of_our_own_and_is_no_ones_to_write() {
        let folder = tempfile::tempdir().unwrap();
        let one = with("s3cret", folder.path());
        for _ in 0..2 {
            keep(&one).unwrap();
        }
        let mount = mounts(&one).remove(0);
        let Source::Host(path) = mount.source else { panic!("{:?}", mount.source) };
        assert_eq!((mount.target.as_str(), mount.read_only), ("/run/secrets/password", true));
        assert_eq!(fs::read_to_string(&path).unwrap(), "s3cret");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(Path::new(&path)), mode(Path::new(&path).parent().unwrap())), (0o444, 0o700));
        assert!(!path.contains("s3cret") && !format!("{one:?}").contains("s3cret"));
    }

    #[test]
    fn another_content_is_another_release_and_what_no_release_has_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (with("one", folder.path()), with("other", folder.path()));
        assert_ne!(one.spec(), other.spec());
        [&one, &other].into_iter().for_each(|settings| keep(settings).unwrap());
        let count = || fs::read_dir(super::folder(&one)).unwrap().count();
        forget_others(&one, [&one, &other].into_iter());
        assert_eq!(count(), 2);
        forget_others(&one, [&other].into_iter());
        assert_eq!(count(), 1);
        assert!(fs::read_to_string(super::folder(&one).join(&other.fittings.secrets["password"])).is_ok());
    }
}

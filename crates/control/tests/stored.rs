//! What is stored, on disk: that files of an earlier version are understood, that damage is not, and that
//! nobody overwrites what he has not seen.
//!
//! The files in `stored/` were written by version 0.1.0, of fleets that were added to and removed from, had
//! spares one of which had taken a seat, were in the middle of a rollout, or had the classic placement;
//! `deployed.wish` by the first that keeps what releases are.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::path::Path;

use control::{Recipes, Revision, StateDir, Store, StoreError, Stored};
use fleet::{Assignment, Desired, Life, Release, ReplicaName, Transition};
use placement::Seat;

/// An assignment in short: `2:10001.1 spare_x` is seat 2, which a life has that began in another one.
fn assignment(text: &str, release: &str, slots: Option<&[u16]>) -> Assignment {
    let (place, name) = text.split_once(' ').unwrap();
    let number = |text: &str| Seat::new(text.parse().unwrap()).unwrap();
    let (seat, life) = place.split_once(':').unwrap_or((place.split('.').next().unwrap(), place));
    let (begun_in, incarnation) = life.split_once('.').unwrap();
    Assignment {
        seat: number(seat),
        life: Life { seat: number(begun_in), incarnation: incarnation.parse().unwrap() },
        name: ReplicaName::parse(name).unwrap(),
        release: Release::parse(release).unwrap(),
        slots: slots.map(<[u16]>::to_vec),
    }
}

fn all(texts: &[&str], release: &str) -> Vec<Assignment> {
    texts.iter().map(|text| assignment(text, release, None)).collect()
}

fn plain() -> Desired {
    let replicas = ["1.1 plain_1", "2.1 plain_2", "4.1 green", "5.1 plain_nk3kcm", "3.2 plain_iha7b8"];
    Desired {
        generation: 4,
        replicas: all(&replicas, "0f630acef1cae4f0"),
        ..Desired::new(5_007_489_341_281_446_722)
    }
}

fn spares() -> Desired {
    const RELEASE: &str = "d8555e39fd9fc43c";
    Desired {
        generation: 1,
        replicas: all(&["1.1 spare_1", "2:10001.1 spare_jghcxb"], RELEASE),
        spares: all(&["10001.2 spare_3gs483", "10002.1 spare_rbakw9"], RELEASE),
        ..Desired::new(7_149_160_569_556_797_853)
    }
}

fn rolling() -> Desired {
    let (from, to) = ("707e3101859cfe3c", "08fd06993c0fe2d6");
    let mut replicas = all(&["1.2 rolling_6drcva"], to);
    replicas.extend(all(&["2.1 rolling_2", "3.1 rolling_3"], from));
    let rollout =
        Transition { from: Release::parse(from).unwrap(), to: Release::parse(to).unwrap(), is_return: false };
    Desired { generation: 2, replicas, rollout: Some(rollout), ..Desired::new(7_427_038_282_149_245_799) }
}

fn classic() -> Desired {
    let replicas: [(&str, &[u16]); 4] = [
        ("1.1 classic_1", &[26, 29, 34, 41, 50, 61, 74, 89, 106]),
        ("4.1 classic_bx2g54", &[43, 45, 51, 56, 65, 76, 90, 104, 121]),
        ("5.1 classic_qiu66t", &[52, 54, 59, 66, 75, 85, 98, 113, 130]),
        ("2.2 classic_9zx8p7", &[30, 32, 37, 44, 53, 64, 77, 92, 109]),
    ];
    let replicas = replicas.iter().map(|(text, slots)| assignment(text, "2f6ec1f073e4bc9a", Some(slots)));
    Desired { generation: 4, replicas: replicas.collect(), ..Desired::new(4_743_927_525_467_811_351) }
}

/// On its way back from a release of processes to one of containers: with what both are.
fn deployed() -> Desired {
    let (from, to) = ("3caaaf82bd4a1c33", "9a6f7a5edba97ac7");
    let release = |text| Release::parse(text).unwrap();
    let rollout = Transition { from: release(from), to: release(to), is_return: true };
    let replicas = all(&["1.1 web_1", "2.4 web_x8stru"], to);
    let (release, rollout) = (release(to), Some(rollout));
    Desired { generation: 3, replicas, release, rollout, ..Desired::new(7_149_160_569_556_797_853) }
}

fn file_of(folder: &Path) -> std::path::PathBuf {
    folder.join("web.wish")
}

fn following(revision: Revision, desired: Desired) -> Stored {
    Stored { revision, desired, recipes: Recipes::new() }
}

async fn read(folder: &Path) -> Result<Option<Stored>, StoreError> {
    StateDir::open(folder, true).unwrap().read("web").await
}

#[tokio::test]
async fn what_an_earlier_version_stored_is_understood_and_written_alike() {
    let cases = [
        ("plain", plain()),
        ("spares", spares()),
        ("rolling", rolling()),
        ("classic", classic()),
        ("deployed", deployed()),
    ];
    for (name, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let earlier = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/stored/{name}.wish"));
        let bytes = std::fs::read(earlier).unwrap();
        std::fs::write(file_of(folder.path()), &bytes).unwrap();
        let state = StateDir::open(folder.path(), true).unwrap();
        let stored = state.read("web").await.unwrap().unwrap();
        assert_eq!(stored.desired, expected, "{name}");
        std::fs::remove_file(file_of(folder.path())).unwrap();
        state.write("web", &stored).await.unwrap();
        let again = std::fs::read(file_of(folder.path())).unwrap();
        assert_eq!(String::from_utf8(again).unwrap(), String::from_utf8(bytes).unwrap(), "{name}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_with_the_reason() {
    let replica = |seat: u32, more: &str, name: &str| {
        format!(r#"{{"seat":{seat},"incarnation":1,"name":"{name}"{more}}}"#)
    };
    let file = |format: u32, replicas: &[String]| {
        let replicas = replicas.join(",");
        format!(r#"{{"format":{format},"generation":1,"seed":1,"replicas":[{replicas}]}}"#)
    };
    let whole = file(1, &[replica(1, "", "S1")]);
    let with = |more: &str| file(2, &[]).replacen('}', &format!("{more}}}"), 1);
    let cases = [
        (String::new(), "EOF"),
        (whole[..whole.len() / 2].to_string(), "EOF"),
        (file(3, &[]), "a later version has written it (format 3, this one knows 2); start that one"),
        (r#"{"format":4,"more":true}"#.into(), "a later version has written it (format 4, this one knows 2)"),
        (file(0, &[]), "it has format 0, this version knows 1 to 2"),
        (with(r#","release":"x""#), "\"x\" is no release"),
        (with(r#","recipes":{"x":{"process":{}}}"#), "missing field `command`"),
        (with(r#","recipes":{"x":{"podman":{}}}"#), "unknown variant `podman`"),
        (file(1, &[replica(0, "", "S1")]), "seat 0 is not from 1 to"),
        (file(1, &[replica(1, "", "a b")]), "is no legal name"),
        (file(1, &[replica(1, r#","release":"x""#, "S1")]), "is no release"),
        (file(1, &[replica(1, r#","size":3"#, "S1")]), "unknown field `size`"),
        (
            file(1, &[replica(1, "", "S1"), replica(1, "", "S2")]),
            "seat 1, its life or name 'S2' is there twice",
        ),
        (
            file(1, &[replica(1, "", "S1"), replica(2, "", "S1")]),
            "seat 2, its life or name 'S1' is there twice",
        ),
        (
            file(1, &[replica(1, "", "S1"), replica(2, r#","begun_in":1"#, "S2")]),
            "seat 2, its life or name 'S2' is there twice",
        ),
    ];
    for (text, why) in cases {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(file_of(folder.path()), &text).unwrap();
        let error = read(folder.path()).await.unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("web.wish"), "{text}: {error}");
    }
}

#[tokio::test]
async fn nobody_overwrites_what_he_has_not_seen() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open(folder.path(), true).unwrap();
    let mut revisions = state.watch("web");
    assert_eq!((state.read("web").await.unwrap(), *revisions.borrow_and_update()), (None, Revision::NONE));
    let first = state.write("web", &following(Revision::NONE, plain())).await.unwrap();
    assert!(revisions.has_changed().unwrap());
    assert_eq!(*revisions.borrow_and_update(), first);
    let conflict = state.write("web", &following(Revision::NONE, rolling())).await.unwrap_err();
    assert!(matches!(conflict, StoreError::Conflict { found, .. } if found == first), "{conflict}");
    assert!(!revisions.has_changed().unwrap());
    assert_eq!(state.read("web").await.unwrap(), Some(following(first, plain())));
    let second = state.write("web", &following(first, rolling())).await.unwrap();
    assert_eq!(state.read("web").await.unwrap(), Some(following(second, rolling())));
    // Another service has revisions of its own.
    assert_eq!(*state.watch("shop").borrow(), Revision::NONE);
}

#[tokio::test]
async fn a_write_that_fails_leaves_the_revision_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open(folder.path(), true).unwrap();
    let first = state.write("web", &following(Revision::NONE, plain())).await.unwrap();
    // A folder where the new file would have to be.
    std::fs::create_dir(folder.path().join("web.new")).unwrap();
    let error = state.write("web", &following(first, rolling())).await.unwrap_err();
    assert!(matches!(error, StoreError::NotStored { .. }), "{error}");
    assert_eq!(*state.watch("web").borrow(), first);
    std::fs::remove_dir(folder.path().join("web.new")).unwrap();
    state.write("web", &following(first, rolling())).await.unwrap();
    drop(state);
    assert_eq!(read(folder.path()).await.unwrap().unwrap().desired, rolling());
}

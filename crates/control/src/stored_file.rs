//! The file that holds what should run of one service: its format, and nothing else. Whoever wrote one is
//! understood by whoever comes later.

use std::collections::{BTreeMap, BTreeSet};

use driver::Recipe;
use fleet::{Assignment, Desired, Life, Release, ReplicaName, Transition};
use placement::Seat;
use serde::{Deserialize, Serialize};

use crate::store::Recipes;

/// The shape of the file; a number that is not known is refused rather than guessed at.
const FORMAT: u32 = 2;
/// The shape that knows nothing of what is to be run. It is written where nothing is known of that.
const FORMAT_WITHOUT_RELEASE: u32 = 1;

/// Above these a number is damage, not a fleet.
const SEAT_MAX: u32 = 1 << 20;
const INCARNATION_MAX: u64 = 1 << 48;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredFile {
    format: u32,
    generation: u64,
    seed: u64,
    replicas: Vec<StoredReplica>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    spares: Vec<StoredReplica>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rollout: Option<StoredRollout>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    recipes: BTreeMap<String, Recipe>,
}

/// A rollout that is under way, between these releases.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRollout {
    from: String,
    to: String,
    /// Whether it leads back to what was there before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_return: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredReplica {
    seat: u32,
    /// The seat that its life began in, if that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begun_in: Option<u32>,
    incarnation: u64,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slots: Option<Vec<u16>>,
}

/// The bytes of the file.
pub(crate) fn to_bytes(desired: &Desired, recipes: &Recipes) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&file_of(desired, recipes))
}

fn file_of(desired: &Desired, recipes: &Recipes) -> StoredFile {
    let has_release = desired.release.is_told();
    let replica = |assignment: &Assignment| StoredReplica {
        seat: assignment.seat.number(),
        begun_in: Some(assignment.life.seat.number()).filter(|number| *number != assignment.seat.number()),
        incarnation: assignment.life.incarnation,
        name: assignment.name.to_string(),
        release: assignment.release.is_told().then(|| assignment.release.to_string()),
        slots: assignment.slots.clone(),
    };
    StoredFile {
        format: if has_release { FORMAT } else { FORMAT_WITHOUT_RELEASE },
        generation: desired.generation,
        seed: desired.seed,
        replicas: desired.replicas.iter().map(replica).collect(),
        spares: desired.spares.iter().map(replica).collect(),
        rollout: desired.rollout.map(|Transition { from, to, is_return }| StoredRollout {
            from: from.to_string(),
            to: to.to_string(),
            is_return,
        }),
        release: has_release.then(|| desired.release.to_string()),
        recipes: recipes.iter().map(|(release, recipe)| (release.to_string(), recipe.clone())).collect(),
    }
}

/// What all versions write.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// What the bytes of a file say; or why they are none.
pub(crate) fn parse(text: &[u8]) -> Result<(Desired, Recipes), String> {
    // First: what another version has written may have anything else in it.
    let Format { format } = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if format > FORMAT {
        return Err(format!(
            "a later version has written it (format {format}, this one knows {FORMAT}); start that one"
        ));
    }
    if format < FORMAT_WITHOUT_RELEASE {
        return Err(format!(
            "it has format {format}, this version knows {FORMAT_WITHOUT_RELEASE} to {FORMAT}"
        ));
    }
    let file: StoredFile = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let rollout = file.rollout.map(|StoredRollout { from, to, is_return }| {
        Ok::<_, String>(Transition { from: release(&from)?, to: release(&to)?, is_return })
    });
    let to_be_run = file.release.as_deref().map(release).transpose()?.unwrap_or_default();
    let recipes = file.recipes.into_iter().map(|(text, recipe)| Ok((release(&text)?, recipe)));
    let recipes: Recipes = recipes.collect::<Result<_, String>>()?;
    let seat = |number: u32| {
        let seat = Seat::new(number).filter(|seat| seat.number() <= SEAT_MAX);
        seat.ok_or_else(|| format!("seat {number} is not from 1 to {SEAT_MAX}"))
    };
    let assignment = |replica: StoredReplica| {
        let begun_in = seat(replica.begun_in.unwrap_or(replica.seat))?;
        let seat = seat(replica.seat)?;
        if replica.incarnation > INCARNATION_MAX {
            return Err(format!("incarnation {} is above {INCARNATION_MAX}", replica.incarnation));
        }
        let name = ReplicaName::parse(&replica.name).map_err(|error| error.to_string())?;
        let release = replica.release.as_deref().map(release).transpose()?.unwrap_or_default();
        let life = Life { seat: begun_in, incarnation: replica.incarnation };
        Ok(Assignment { seat, life, name, release, slots: replica.slots })
    };
    let replicas: Result<Vec<_>, String> = file.replicas.into_iter().map(assignment).collect();
    let spares: Result<Vec<_>, String> = file.spares.into_iter().map(assignment).collect();
    let (generation, seed, rollout) = (file.generation, file.seed, rollout.transpose()?);
    let (replicas, spares) = (replicas?, spares?);
    let desired = Desired { generation, seed, replicas, spares, release: to_be_run, rollout };
    let mut seats = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut lives = BTreeSet::new();
    for Assignment { seat, life, name, .. } in desired.replicas.iter().chain(&desired.spares) {
        if !seats.insert(seat) || !lives.insert(life) || !names.insert(name) {
            return Err(format!("seat {seat}, its life or name '{name}' is there twice"));
        }
    }
    Ok((desired, recipes))
}

fn release(text: &str) -> Result<Release, String> {
    Release::parse(text).ok_or_else(|| format!("{text:?} is no release"))
}

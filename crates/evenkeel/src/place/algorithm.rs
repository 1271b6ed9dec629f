//! Which options belong to which algorithm, and the empty placement that they ask for.

use clap::ValueEnum;
use placement::{
    Classic, ClassicSettings, Named, NamedAlgorithm, Placement, Rendezvous, RingLayout, SeatNames,
};

use super::refusal::Refusal;
use crate::cli::{Algorithm, PlacementOptions};

/// A placement without members. Only rings and Maglev tables look at the names.
pub(super) fn empty(options: &PlacementOptions, names: SeatNames) -> Result<Placement, Refusal> {
    refuse_foreign(options)?;
    Ok(match options.algorithm {
        Algorithm::Rendezvous => Placement::Rendezvous(Rendezvous::default()),
        Algorithm::Classic => Placement::Classic(Classic::new(classic_settings(options))),
        Algorithm::Ring => {
            let layout = options.layout.unwrap_or(RingLayout::Nginx);
            Placement::Named(Named::new(NamedAlgorithm::Ring(layout), names))
        }
        Algorithm::Maglev => {
            let size = options.table_size.unwrap_or_default();
            Placement::Named(Named::new(NamedAlgorithm::Maglev(size), names))
        }
    })
}

/// As it is typed.
pub(super) fn name(algorithm: Algorithm) -> String {
    let value = algorithm.to_possible_value().expect("no algorithm is hidden");
    value.get_name().to_owned()
}

fn classic_settings(options: &PlacementOptions) -> ClassicSettings {
    let base = ClassicSettings::default();
    ClassicSettings {
        slots: options.slots.unwrap_or(base.slots),
        virtual_servers: options.virtual_servers.unwrap_or(base.virtual_servers),
        probe: options.probe.unwrap_or(base.probe),
        hash: options.hash.unwrap_or(base.hash),
    }
}

fn refuse_foreign(options: &PlacementOptions) -> Result<(), Refusal> {
    let owned = [
        ("--slots", Algorithm::Classic, options.slots.is_some()),
        ("--virtual", Algorithm::Classic, options.virtual_servers.is_some()),
        ("--probe", Algorithm::Classic, options.probe.is_some()),
        ("--hash", Algorithm::Classic, options.hash.is_some()),
        ("--layout", Algorithm::Ring, options.layout.is_some()),
        ("--table-size", Algorithm::Maglev, options.table_size.is_some()),
    ];
    match owned.into_iter().find(|(_, owner, is_given)| *is_given && *owner != options.algorithm) {
        None => Ok(()),
        Some((option, owner, _)) => {
            let (owner, chosen) = (name(owner), name(options.algorithm));
            Err(Refusal::Usage(format!("{option} is for --algorithm {owner}: {chosen} has no such option")))
        }
    }
}

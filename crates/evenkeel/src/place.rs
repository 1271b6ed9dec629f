//! `evenkeel place` and `evenkeel simulate`: who serves which key, and what a change would move. They
//! ask the library that a balancer asks, and no balancer.

mod refusal;

mod algorithm;
mod members;

mod keys;
mod show;

use placement::{Placement, movement, sample_keys};

use crate::Outcome;
use crate::cli::{Algorithm, PlaceOptions, SAMPLES, SimulateOptions};
use keys::KeyLines;
use members::Members;
use refusal::Refusal;

/// `evenkeel place`
pub(crate) fn place(options: &PlaceOptions) -> Outcome {
    answer_place(options).or_else(|refusal| refusal.told("place"))
}

/// `evenkeel simulate`
pub(crate) fn simulate(options: &SimulateOptions) -> Outcome {
    answer_simulate(options).or_else(|refusal| refusal.told("simulate"))
}

fn answer_place(options: &PlaceOptions) -> Result<(), Refusal> {
    let algorithm = options.placement.algorithm;
    if options.samples.is_some() && algorithm != Algorithm::Rendezvous {
        let name = algorithm::name(algorithm);
        return Err(Refusal::Usage(format!("--samples is for rendezvous: the shares of {name} are exact")));
    }
    let members = Members::new(&options.placement, &[])?;
    if options.table {
        answer_table(&algorithm::name(algorithm), &members)
    } else if options.shares {
        let shares = members.placement().shares(options.samples.unwrap_or(SAMPLES));
        Ok(show::shares(&members, &shares, options.json)?)
    } else {
        answer_keys(options, &members)
    }
}

fn answer_table(algorithm: &str, members: &Members) -> Result<(), Refusal> {
    let slots = match members.placement() {
        Placement::Classic(classic) => Some(classic.slots().to_vec()),
        Placement::Named(named) => named.slots().map(|slots| slots.into_iter().map(Some).collect()),
        Placement::Rendezvous(_) => None,
    };
    let refusal = || Refusal::Usage(format!("--table is for classic and maglev: {algorithm} has no slots"));
    Ok(show::table(algorithm, members, &slots.ok_or_else(refusal)?)?)
}

fn answer_keys(options: &PlaceOptions, members: &Members) -> Result<(), Refusal> {
    let lines = options.keys_file.as_deref().map(KeyLines::open).transpose()?;
    let mut choices = show::Choices::begin(members, options.json)?;
    for key in &options.keys {
        choices.add(key.as_bytes())?;
    }
    if let Some(mut lines) = lines {
        while let Some(key) = lines.next() {
            choices.add(&key?)?;
            // Whoever writes the keys one by one gets the answers one by one.
            if lines.would_wait() {
                choices.flush()?;
            }
        }
    }
    Ok(choices.flush()?)
}

fn answer_simulate(options: &SimulateOptions) -> Result<(), Refusal> {
    let before = Members::new(&options.placement, &options.add)?;
    let mut after = before.clone();
    options.remove.iter().try_for_each(|name| after.remove(name))?;
    options.add.iter().try_for_each(|word| after.add(word))?;
    options.weight.iter().try_for_each(|word| after.change_weight(word))?;
    let (one, other) = (before.placement(), after.placement());
    let movement = match &options.keys_file {
        None => movement(one, other, sample_keys(options.samples)),
        Some(file) => {
            let mut unreadable = None;
            let keys = KeyLines::open(file)?;
            let movement = movement(
                one,
                other,
                keys.map_while(|key| key.map_err(|error| unreadable = Some(error)).ok()),
            );
            unreadable.map_or(Ok(movement), Err)?
        }
    };
    // A replica that was added is known to the later one only, one that was removed to the earlier.
    let label = |seat| after.label(seat).or_else(|| before.label(seat));
    Ok(show::movement(&movement, label, options.json)?)
}

//! Members as they are typed, and the placement over them: which seat is whose, and how each is called
//! in the answer. A member keeps its seat and its name through every change.

use std::collections::{HashMap, HashSet};
use std::fmt;

use placement::{Member, Placement, Seat, SeatNames};
use serde::Serialize;

use super::algorithm;
use super::refusal::Refusal;
use crate::cli::{Algorithm, MemberWord, PlacementOptions};

/// The members of a placement, in the order in which they were given.
#[derive(Clone, Debug)]
pub(super) struct Members {
    algorithm: Algorithm,
    directory: Directory,
    placement: Placement,
    labels: HashMap<Seat, Label>,
    present: Vec<Seat>,
}

/// What a member is called in the answer: as it was typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Label {
    /// The number of a seat.
    Number(u32),
    /// A name or an address.
    Name(String),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Which seat somebody means.
#[derive(Clone, Debug)]
enum Directory {
    Numbers,
    Names(HashMap<String, Seat>),
}

impl Members {
    /// These replicas. What is to be added later must be known now: a name keeps its seat throughout.
    pub(super) fn new(options: &PlacementOptions, later: &[MemberWord]) -> Result<Self, Refusal> {
        let words = options.replicas.iter().chain(later);
        let (directory, names) = match options.algorithm {
            Algorithm::Rendezvous | Algorithm::Classic => (Directory::Numbers, SeatNames::default()),
            Algorithm::Ring | Algorithm::Maglev => seated(words.map(|word| word.name.as_str())),
        };
        let placement = algorithm::empty(options, names)?;
        let (labels, present) = (HashMap::new(), Vec::new());
        let mut members = Self { algorithm: options.algorithm, directory, placement, labels, present };
        let mut fresh = Vec::new();
        for word in &options.replicas {
            let known = |name| Refusal::Usage(format!("--replicas names '{name}' twice"));
            fresh.push(members.note(word)?.ok_or_else(|| known(&word.name))?);
        }
        match &mut members.placement {
            Placement::Named(named) => named.insert_all(fresh)?,
            other => fresh.into_iter().try_for_each(|member| other.insert(member))?,
        }
        Ok(members)
    }

    /// Where the keys go.
    pub(super) fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Every member, in the order in which they were given.
    pub(super) fn present(&self) -> impl Iterator<Item = (Seat, &Label)> {
        self.present.iter().map(|seat| (*seat, &self.labels[seat]))
    }

    /// What the member in this seat is called; nothing if there never was one.
    pub(super) fn label(&self, seat: Seat) -> Option<&Label> {
        self.labels.get(&seat)
    }

    /// Takes a member away.
    pub(super) fn remove(&mut self, name: &str) -> Result<(), Refusal> {
        let seat = self.seat_of_present("--remove", name)?;
        self.placement.remove(seat);
        self.present.retain(|other| *other != seat);
        Ok(())
    }

    /// Adds a member.
    pub(super) fn add(&mut self, word: &MemberWord) -> Result<(), Refusal> {
        let known = || Refusal::Usage(format!("--add: '{}' is there already", word.name));
        let member = self.note(word)?.ok_or_else(known)?;
        Ok(self.placement.insert(member)?)
    }

    /// Gives a member another weight.
    pub(super) fn change_weight(&mut self, word: &MemberWord) -> Result<(), Refusal> {
        let seat = self.seat_of_present("--weight", &word.name)?;
        let weight = self.weight(word)?;
        Ok(self.placement.insert(Member { seat, weight })?)
    }

    /// Writes a member down; nothing if it is there already.
    fn note(&mut self, word: &MemberWord) -> Result<Option<Member>, Refusal> {
        let (seat, weight) = (self.seat(&word.name)?, self.weight(word)?);
        if self.present.contains(&seat) {
            return Ok(None);
        }
        let label = match self.directory {
            Directory::Numbers => Label::Number(seat.number()),
            Directory::Names(_) => Label::Name(word.name.clone()),
        };
        self.labels.insert(seat, label);
        self.present.push(seat);
        Ok(Some(Member { seat, weight }))
    }

    fn seat_of_present(&self, option: &str, name: &str) -> Result<Seat, Refusal> {
        let unknown = || Refusal::Usage(format!("{option}: there is no replica '{name}'"));
        let seat = match &self.directory {
            Directory::Numbers => self.seat(name)?,
            Directory::Names(seats) => seats.get(name).copied().ok_or_else(unknown)?,
        };
        if self.present.contains(&seat) { Ok(seat) } else { Err(unknown()) }
    }

    fn seat(&self, name: &str) -> Result<Seat, Refusal> {
        let seat = match &self.directory {
            Directory::Numbers => name.parse().ok().and_then(Seat::new),
            Directory::Names(seats) => seats.get(name).copied(),
        };
        seat.ok_or_else(|| {
            let algorithm = algorithm::name(self.algorithm);
            Refusal::Usage(format!(
                "'{name}' is not the number of a seat: {algorithm} places seats, 1 and up; ring and maglev \
                 place names and addresses"
            ))
        })
    }

    fn weight(&self, word: &MemberWord) -> Result<u32, Refusal> {
        match word.weight {
            Some(_) if self.algorithm == Algorithm::Classic => {
                let name = &word.name;
                Err(Refusal::Usage(format!("classic knows no weights: write '{name}' and nothing behind it")))
            }
            weight => Ok(weight.unwrap_or(1)),
        }
    }
}

/// A seat for each name. Names are listed for the seats from 1 up, but a name that is the number of a
/// seat behind the list must take that seat, which goes by this very name.
fn seated<'a>(names: impl Iterator<Item = &'a str>) -> (Directory, SeatNames) {
    let mut known = HashSet::new();
    let mut listed: Vec<&str> = names.filter(|name| known.insert(*name)).collect();
    let mut seats = HashMap::new();
    loop {
        let behind = |name: &str| seat_named(name).filter(|seat| seat.index() >= listed.len());
        // The list gets shorter with each name that leaves it, so more may be behind it.
        let Some(at) = listed.iter().position(|name| behind(name).is_some()) else { break };
        let name = listed.remove(at);
        seats.extend(seat_named(name).map(|seat| (name.to_owned(), seat)));
    }
    seats.extend(listed.iter().enumerate().map(|(at, name)| ((*name).to_owned(), Seat::at_index(at))));
    let listed = listed.into_iter().map(str::to_owned).collect();
    let names = SeatNames::new(listed).expect("names differ, and none is the number of a seat behind them");
    (Directory::Names(seats), names)
}

/// The seat whose number this is, written as seats write it.
fn seat_named(name: &str) -> Option<Seat> {
    name.parse().ok().and_then(Seat::new).filter(|seat| seat.to_string() == *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_gets_a_seat_that_goes_by_it() {
        for typed in
            [&["a", "b"][..], &["3", "4"], &["2", "1", "4"], &["0", "03", "3", "9", "a"], &["1", "1"]]
        {
            let (directory, names) = seated(typed.iter().copied());
            let Directory::Names(seats) = directory else { panic!("{typed:?}") };
            let distinct: HashSet<Seat> = seats.values().copied().collect();
            assert_eq!(distinct.len(), seats.len(), "{typed:?}: {seats:?}");
            for name in typed {
                assert_eq!(names.of(seats[*name]), *name, "{typed:?}: {seats:?}");
            }
        }
    }
}

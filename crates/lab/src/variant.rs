//! The ways of placing that experiments compare: how a balancer is told, and what shares each promises.

use placement::{
    Classic, ClassicHash, ClassicSettings, MaglevSize, Member, Named, NamedAlgorithm, Placement, Probe,
    RingLayout, Seat, SeatNames,
};

/// A way of placing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The original formulas.
    Classic,
    /// The same, but taken slots are probed quadratically.
    ClassicProbe,
    /// The original table with the mixing functions of SplitMix.
    ClassicSplitmix,
    /// The original table with XXH3.
    ClassicXxh3,
    /// A ring of points.
    Ring,
    /// A table as Envoy fills it.
    Maglev,
    /// The balancer's default.
    Rendezvous,
}

impl Variant {
    /// All of them, the original first.
    pub const ALL: [Self; 7] = [
        Self::Classic,
        Self::ClassicProbe,
        Self::ClassicSplitmix,
        Self::ClassicXxh3,
        Self::Ring,
        Self::Maglev,
        Self::Rendezvous,
    ];

    /// What it is called in tables and pictures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::ClassicProbe => "classic, quadratic probe",
            Self::ClassicSplitmix => "classic, splitmix",
            Self::ClassicXxh3 => "classic, xxh3",
            Self::Ring => "ring",
            Self::Maglev => "maglev",
            Self::Rendezvous => "rendezvous",
        }
    }

    /// The keys of a service in the configuration that choose it.
    pub(crate) fn config(self) -> &'static str {
        match self {
            Self::Classic => "algorithm = \"classic\"\n",
            Self::ClassicProbe => "algorithm = \"classic\"\nprobe = \"quadratic\"\n",
            Self::ClassicSplitmix => "algorithm = \"classic\"\nhash = \"splitmix\"\n",
            Self::ClassicXxh3 => "algorithm = \"classic\"\nhash = \"xxh3\"\n",
            Self::Ring => "algorithm = \"ring\"\n",
            Self::Maglev => "algorithm = \"maglev\"\n",
            Self::Rendezvous => "algorithm = \"rendezvous\"\n",
        }
    }

    /// What part of the keys each of the seats 1 to `count` is promised: exact.
    pub fn shares(self, count: usize) -> Vec<f64> {
        let mut placement = match self.empty() {
            Some(placement) => placement,
            // Even by construction, but for chance.
            None => return vec![1.0 / count as f64; count],
        };
        for index in 0..count {
            // Six replicas have room under every algorithm.
            let _ = placement.insert(Member::new(Seat::at_index(index)));
        }
        let mut parts = placement.shares(0).parts;
        parts.sort_by_key(|(seat, _)| *seat);
        parts.into_iter().map(|(_, part)| part).collect()
    }

    fn empty(self) -> Option<Placement> {
        let base = ClassicSettings::default();
        let classic = |settings| Some(Placement::Classic(Classic::new(settings)));
        let hashed = |name| ClassicHash::from_name(name).unwrap_or(base.hash);
        let named = |algorithm| Some(Placement::Named(Named::new(algorithm, SeatNames::default())));
        match self {
            Self::Classic => classic(base),
            Self::ClassicProbe => classic(ClassicSettings { probe: Probe::Quadratic, ..base }),
            Self::ClassicSplitmix => classic(ClassicSettings { hash: hashed("splitmix"), ..base }),
            Self::ClassicXxh3 => classic(ClassicSettings { hash: hashed("xxh3"), ..base }),
            Self::Ring => named(NamedAlgorithm::Ring(RingLayout::Nginx)),
            Self::Maglev => named(NamedAlgorithm::Maglev(MaglevSize::default())),
            Self::Rendezvous => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classic_shares_are_those_that_the_formulas_give() {
        let shares: Vec<String> =
            Variant::Classic.shares(3).iter().map(|share| format!("{:.1}", share * 10_000.0)).collect();
        assert_eq!(shares, ["8437.5", "468.8", "1093.8"]);
    }

    #[test]
    fn every_variant_shares_out_everything_and_differs_from_the_others() {
        for count in 2..=6 {
            for variant in Variant::ALL {
                let shares = variant.shares(count);
                let sum: f64 = shares.iter().sum();
                assert!(shares.len() == count && (sum - 1.0).abs() < 1e-9, "{variant:?} {count}: {shares:?}");
            }
        }
        let hashed = |variant: Variant| variant.shares(6);
        assert_ne!(hashed(Variant::ClassicSplitmix), hashed(Variant::ClassicXxh3));
        assert_ne!(hashed(Variant::ClassicSplitmix), hashed(Variant::Classic));
    }
}

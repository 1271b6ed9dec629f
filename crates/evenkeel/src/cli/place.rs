//! What can be typed after `evenkeel place` and `evenkeel simulate`, and the words that both take.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, ValueEnum};
use placement::{ClassicHash, MaglevSize, Probe, RingLayout, WEIGHT_MAX};

pub(super) const PLACE_EXAMPLES: &str = "\
Try it:
  evenkeel place --replicas 1,2,3 --keys alice,bob
  evenkeel place --replicas 1=2,2=1 --shares              seat 1 gets twice as much
  evenkeel place --algorithm classic --replicas 1,2,3 --keys 132574,237891
  evenkeel place --algorithm classic --replicas 1,2,3 --table
  evenkeel place --algorithm ring --replicas 10.0.0.1:80,10.0.0.2:80 --keys /home --json
  cut -d' ' -f1 access.log | evenkeel place --replicas 1,2,3 --keys-file - --json

Keys of classic that are numbers are request ids; all else is hashed to one of six digits.
Exit codes: 0 fine, 1 a file cannot be read or the placement is full, 2 wrong usage.";

pub(super) const SIMULATE_EXAMPLES: &str = "\
Try it:
  evenkeel simulate --replicas 1,2,3 --remove 2           a replica goes for good
  evenkeel simulate --replicas 1,2,3 --add 4=2            one of weight 2 comes
  evenkeel simulate --replicas 1,2,3 --weight 1=3         one gets three times as much
  evenkeel simulate --algorithm maglev --replicas a,b,c --remove b --json

A replica that is replaced keeps its seat and moves no key: that is no change here.
Exit codes: 0 fine, 1 a file cannot be read or the placement is full, 2 wrong usage.";

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("asked").args(["keys", "keys_file", "table", "shares"])
    .required(true).multiple(true))]
pub(crate) struct PlaceOptions {
    #[command(flatten)]
    pub(crate) placement: PlacementOptions,
    /// Keys to place, separated by commas.
    #[arg(long, value_name = "KEYS", value_delimiter = ',')]
    pub(crate) keys: Vec<String>,
    /// A file with one key per line, `-` for standard input; empty lines are skipped.
    #[arg(long, value_name = "FILE")]
    pub(crate) keys_file: Option<PathBuf>,
    /// Print the slot table as JSON; classic and maglev have one.
    #[arg(long, conflicts_with_all = ["keys", "keys_file", "shares"])]
    pub(crate) table: bool,
    /// Print each replica's part of all keys: exact, for rendezvous counted over sampled keys.
    #[arg(long, conflicts_with_all = ["keys", "keys_file", "table"])]
    pub(crate) shares: bool,
    /// Over how many keys to count the shares of rendezvous [default: 100000].
    #[arg(long, value_name = "N", conflicts_with_all = ["keys", "keys_file", "table"],
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) samples: Option<u32>,
    /// Print JSON for programs: with keys, one object per line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").args(["remove", "add", "weight"])
    .required(true).multiple(true))]
pub(crate) struct SimulateOptions {
    #[command(flatten)]
    pub(crate) placement: PlacementOptions,
    /// Take this replica away; may be repeated. Removals come first.
    #[arg(long, value_name = "REPLICA", value_delimiter = ',')]
    pub(crate) remove: Vec<String>,
    /// Add this replica, `4` or with a weight `4=2`; may be repeated.
    #[arg(long, value_name = "REPLICA", value_delimiter = ',')]
    pub(crate) add: Vec<MemberWord>,
    /// Give this replica another weight; may be repeated. Weights come last.
    #[arg(long, value_name = "REPLICA=WEIGHT", value_delimiter = ',', value_parser = with_weight)]
    pub(crate) weight: Vec<MemberWord>,
    /// A file with one key per line, `-` for standard input; empty lines are skipped.
    #[arg(long, value_name = "FILE")]
    pub(crate) keys_file: Option<PathBuf>,
    /// How many sampled keys to look at, where no file gives them.
    #[arg(long, value_name = "N", default_value_t = SAMPLES, conflicts_with = "keys_file",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) samples: u32,
    /// Print JSON for programs instead of text for people.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How many keys are sampled unless somebody says.
pub(crate) const SAMPLES: u32 = 100_000;

#[derive(Debug, Args)]
pub(crate) struct PlacementOptions {
    /// What places the keys.
    #[arg(long, value_enum, default_value_t = Algorithm::Rendezvous)]
    pub(crate) algorithm: Algorithm,
    /// The replicas, separated by commas, with a weight behind `=` if it is not 1: seat numbers for
    /// rendezvous and classic (which knows no weights), names or addresses for ring and maglev.
    #[arg(long, required = true, value_name = "REPLICAS", value_delimiter = ',')]
    pub(crate) replicas: Vec<MemberWord>,
    /// classic: how many slots there are [default: 512].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) slots: Option<u16>,
    /// classic: how many virtual servers each replica has [default: 9].
    #[arg(long = "virtual", value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) virtual_servers: Option<u16>,
    /// classic: where a virtual server goes whose slot is taken [default: linear].
    #[arg(long, value_parser = PossibleValuesParser::new(["linear", "quadratic"]).map(|name| probe(&name)))]
    pub(crate) probe: Option<Probe>,
    /// classic: the pair of hash functions [default: quadratic].
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(ClassicHash::NAMES)
        .map(|name| ClassicHash::from_name(&name).expect("the parser knows the same names")))]
    pub(crate) hash: Option<ClassicHash>,
    /// ring: where the points are, as nginx and Pingora or as libketama has them [default: nginx].
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(RingLayout::NAMES)
        .map(|name| RingLayout::from_name(&name).expect("the parser knows the same names")))]
    pub(crate) layout: Option<RingLayout>,
    /// maglev: how many slots the table has, a prime number [default: 65537].
    #[arg(long, value_name = "N", value_parser = maglev_size)]
    pub(crate) table_size: Option<MaglevSize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Algorithm {
    /// Even, weighted, and no key moves that need not: the default of a balancer.
    Rendezvous,
    /// The original system's slot table.
    Classic,
    /// A ring of points, as nginx, Pingora and libketama make it.
    Ring,
    /// A table as Envoy fills it.
    Maglev,
}

/// A replica as it is typed: `NAME` or `NAME=WEIGHT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberWord {
    pub(crate) name: String,
    pub(crate) weight: Option<u32>,
}

impl FromStr for MemberWord {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let (name, weight) = match word.rsplit_once('=') {
            Some((name, weight)) => (name, Some(weight)),
            None => (word, None),
        };
        let name = name.trim().to_owned();
        if name.is_empty() {
            return Err("a replica needs a name or a number".into());
        }
        let number = |weight: &str| weight.trim().parse().ok().filter(|it| (1..=WEIGHT_MAX).contains(it));
        let refusal = || format!("a weight is a whole number from 1 to {WEIGHT_MAX}");
        let weight = weight.map(|weight| number(weight).ok_or_else(refusal)).transpose()?;
        Ok(Self { name, weight })
    }
}

fn with_weight(word: &str) -> Result<MemberWord, String> {
    let word: MemberWord = word.parse()?;
    match word.weight {
        Some(_) => Ok(word),
        None => Err(format!("say which weight: {}=2", word.name)),
    }
}

fn probe(name: &str) -> Probe {
    if name == "quadratic" { Probe::Quadratic } else { Probe::Linear }
}

fn maglev_size(word: &str) -> Result<MaglevSize, String> {
    let size = word.parse().map_err(|error| format!("{error}"))?;
    MaglevSize::new(size).map_err(|error| error.to_string())
}

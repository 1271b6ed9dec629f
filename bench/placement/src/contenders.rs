//! Everyone who takes part, behind one small trait.

use std::hint::black_box;
use std::time::{Duration, Instant};

use hrw_hash::HrwNodes;
use maglev::ConsistentHasher;
use mpchash::HashRing;
use pingora_ketama::{Bucket, Continuum};
use placement::{
    Classic, ClassicSettings, MaglevSize, Member, Named, NamedAlgorithm, Placement, Rendezvous, RingLayout,
    Seat, SeatNames,
};

/// One placement over some members, which are numbers from 0 up.
pub trait Contender {
    /// Whose key this is.
    fn first(&self, key: &str) -> u32;

    /// Adds one more member, by whatever way the contender has.
    fn add(&mut self, member: u32);

    /// Takes one away, likewise.
    fn remove(&mut self, member: u32);

    /// The largest share over the fair one, where it is known exactly.
    fn largest_over_fair(&self) -> Option<f64> {
        None
    }

    /// How long all these keys take. A method of the trait so that `first` is called directly.
    fn time(&self, keys: &[String]) -> Duration {
        let start = Instant::now();
        for key in keys {
            black_box(self.first(black_box(key)));
        }
        start.elapsed()
    }
}

/// How to make a contender.
pub struct Kind {
    /// What tables and pictures call it.
    pub name: &'static str,
    /// The most members that it is asked to hold.
    pub members_max: u32,
    /// The weight of each member.
    pub weight: fn(u32) -> u32,
    /// Makes it of these members.
    pub make: fn(&[u32]) -> Box<dyn Contender>,
}

/// Everyone, ours first.
pub fn all() -> Vec<Kind> {
    let kind = |name, make| Kind { name, members_max: 10_000, weight: |_| 1, make };
    vec![
        kind("rendezvous", |members| ours(Placement::Rendezvous(Rendezvous::default()), members, |_| 1)),
        Kind {
            weight: seven,
            ..kind("rendezvous, 7 weights", |members| {
                ours(Placement::Rendezvous(Rendezvous::default()), members, seven)
            })
        },
        Kind { members_max: 1_800, ..kind("classic", |members| ours(classic(members), members, |_| 1)) },
        kind("ring, nginx", |members| {
            ours(named(NamedAlgorithm::Ring(RingLayout::Nginx), members), members, |_| 1)
        }),
        kind("ring, ketama", |members| {
            ours(named(NamedAlgorithm::Ring(RingLayout::Ketama), members), members, |_| 1)
        }),
        kind("maglev", |members| {
            ours(named(NamedAlgorithm::Maglev(MaglevSize::default()), members), members, |_| 1)
        }),
        kind("pingora-ketama", |members| {
            Box::new(Pingora { members: members.to_vec(), continuum: continuum(members) })
        }),
        kind("mpchash", |members| {
            let ring = HashRing::new();
            members.iter().for_each(|member| ring.add(*member));
            Box::new(MultiProbe(ring))
        }),
        kind("hrw-hash", |members| {
            Box::new(Hrw { members: members.to_vec(), nodes: HrwNodes::new(nodes(members)) })
        }),
        kind("maglev crate", |members| {
            Box::new(OtherMaglev { members: members.to_vec(), table: other_maglev(members) })
        }),
    ]
}

/// Weights from 1 to 7 in turn.
fn seven(member: u32) -> u32 {
    member % 7 + 1
}

struct Ours {
    placement: Placement,
    weight: fn(u32) -> u32,
}

fn ours(empty: Placement, members: &[u32], weight: fn(u32) -> u32) -> Box<dyn Contender> {
    let mut placement = empty;
    let all = members.iter().map(|member| member_of(*member, weight));
    match &mut placement {
        Placement::Named(named) => named.insert_all(all).expect("few enough points"),
        other => all.for_each(|member| other.insert(member).expect("few enough members")),
    }
    Box::new(Ours { placement, weight })
}

fn member_of(member: u32, weight: fn(u32) -> u32) -> Member {
    Member { seat: Seat::at_index(member as usize), weight: weight(member) }
}

fn named(algorithm: NamedAlgorithm, members: &[u32]) -> Placement {
    let listed = members.iter().copied().max().map_or(0, |highest| highest + 2);
    let names = SeatNames::new((0..listed).map(address).collect()).expect("addresses differ");
    Placement::Named(Named::new(algorithm, names))
}

/// The contract's 512 slots, and four times as many as are needed once those are too few.
fn classic(members: &[u32]) -> Placement {
    let slots = u16::try_from(members.len() * 36).unwrap_or(u16::MAX).max(512);
    Placement::Classic(Classic::new(ClassicSettings { slots, ..ClassicSettings::default() }))
}

fn address(member: u32) -> String {
    format!("10.0.{}.{}:5000", member / 250, member % 250 + 1)
}

impl Contender for Ours {
    fn first(&self, key: &str) -> u32 {
        let key = self.placement.key_hash().key(key.as_bytes());
        self.placement.order(key).next().map_or(u32::MAX, |seat| seat.number() - 1)
    }

    fn largest_over_fair(&self) -> Option<f64> {
        let shares = self.placement.shares(0);
        shares.sampled_keys.is_none().then(|| shares.largest_over_mean())
    }

    fn add(&mut self, member: u32) {
        self.placement.insert(member_of(member, self.weight)).expect("room for one more");
    }

    fn remove(&mut self, member: u32) {
        self.placement.remove(Seat::at_index(member as usize));
    }
}

struct Pingora {
    members: Vec<u32>,
    continuum: Continuum,
}

fn continuum(members: &[u32]) -> Continuum {
    let bucket = |member: &u32| Bucket::new(address(*member).parse().expect("an address"), 1);
    Continuum::new(&members.iter().map(bucket).collect::<Vec<_>>())
}

impl Contender for Pingora {
    fn first(&self, key: &str) -> u32 {
        match self.continuum.node(key.as_bytes()) {
            Some(std::net::SocketAddr::V4(address)) => {
                let [_, _, high, low] = address.ip().octets();
                u32::from(high) * 250 + u32::from(low) - 1
            }
            _ => u32::MAX,
        }
    }

    fn add(&mut self, member: u32) {
        self.members.push(member);
        self.continuum = continuum(&self.members);
    }

    fn remove(&mut self, member: u32) {
        self.members.retain(|other| *other != member);
        self.continuum = continuum(&self.members);
    }
}

struct MultiProbe(HashRing<u32>);

impl Contender for MultiProbe {
    fn first(&self, key: &str) -> u32 {
        self.0.node(&key).map_or(u32::MAX, |token| *token.node())
    }

    fn add(&mut self, member: u32) {
        self.0.add(member);
    }

    fn remove(&mut self, member: u32) {
        self.0.remove(&member);
    }
}

#[derive(Hash, PartialEq, Eq)]
struct Node(u32);

impl hrw_hash::HrwNode for Node {}

struct Hrw {
    members: Vec<u32>,
    nodes: HrwNodes<Node>,
}

fn nodes(members: &[u32]) -> Vec<Node> {
    members.iter().map(|member| Node(*member)).collect()
}

impl Contender for Hrw {
    fn first(&self, key: &str) -> u32 {
        self.nodes.sorted(&key).next().map_or(u32::MAX, |node| node.0)
    }

    fn add(&mut self, member: u32) {
        self.members.push(member);
        self.nodes = HrwNodes::new(nodes(&self.members));
    }

    fn remove(&mut self, member: u32) {
        self.members.retain(|other| *other != member);
        self.nodes = HrwNodes::new(nodes(&self.members));
    }
}

struct OtherMaglev {
    members: Vec<u32>,
    table: maglev::Maglev<u32, std::hash::BuildHasherDefault<std::hash::DefaultHasher>>,
}

fn other_maglev(
    members: &[u32],
) -> maglev::Maglev<u32, std::hash::BuildHasherDefault<std::hash::DefaultHasher>> {
    maglev::Maglev::with_capacity(members.to_vec(), 65_537)
}

impl Contender for OtherMaglev {
    fn first(&self, key: &str) -> u32 {
        self.table.get(key).copied().unwrap_or(u32::MAX)
    }

    fn add(&mut self, member: u32) {
        self.members.push(member);
        self.table = other_maglev(&self.members);
    }

    fn remove(&mut self, member: u32) {
        self.members.retain(|other| *other != member);
        self.table = other_maglev(&self.members);
    }
}

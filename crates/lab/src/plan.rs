//! The requests of a load: the bytes of each are a function of its number and the seed.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// Whom the load is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// What is sent as `Host`.
    pub host: String,
}

impl Target {
    /// The target at this address, which is also its `Host`.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, host: address.to_string() }
    }
}

/// What the `id` in the query of a request is drawn from: six digits, uniform, by the seed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Keys {
    /// Requests have no `id`.
    #[default]
    None,
    /// Every request draws its own.
    Uniform,
    /// This share of the requests (0–1) has one and the same, the others draw.
    Hot(f64),
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestPlan {
    /// `GET`, `POST`, … `HEAD` is none that can be checked.
    pub method: String,
    /// The path, with its query if it has one.
    pub path: String,
    /// The body; an empty one is not announced for `GET`.
    pub body: String,
    /// What the `id` in the query is.
    pub keys: Keys,
}

impl RequestPlan {
    /// Plain `GET`s of a path.
    pub fn get(path: &str) -> Self {
        Self { method: "GET".into(), path: path.into(), body: String::new(), keys: Keys::None }
    }
}

/// The smallest and one more than the largest of the ids, as in the original system.
const IDS: std::ops::Range<u64> = 100_000..1_000_000;

/// Writes requests, one after the other, into one buffer.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    before_path: String,
    after_path: String,
    tail: String,
    keys: Keys,
    seed: u64,
    run: u32,
}

impl Writer {
    pub(crate) fn new(target: &Target, plan: &RequestPlan, seed: u64) -> Self {
        let query = if plan.path.contains('?') { "&id=" } else { "?id=" };
        let query = if plan.keys == Keys::None { "" } else { query };
        let length = match (plan.method.as_str(), plan.body.len()) {
            ("GET", 0) => String::new(),
            (_, length) => format!("content-type: application/json\r\ncontent-length: {length}\r\n"),
        };
        Self {
            before_path: format!("{} {}{query}", plan.method, plan.path),
            after_path: format!(
                " HTTP/1.1\r\nhost: {}\r\nuser-agent: evenkeel-lab\r\n{length}x-request-id: ",
                target.host
            ),
            tail: format!("\r\n\r\n{}", plan.body),
            keys: plan.keys,
            seed,
            // Ids of two runs differ, also with one seed: whoever keeps them must not mix runs up.
            run: fastrand::u32(..),
        }
    }

    /// What the request with this number is called.
    pub(crate) fn name(&self, index: u64) -> String {
        format!("lab-{:08x}-{index}", self.run)
    }

    /// The bytes of the request with this number and name.
    pub(crate) fn write(&self, index: u64, name: &str, bytes: &mut String) {
        bytes.clear();
        bytes.push_str(&self.before_path);
        if let Some(key) = self.key(index) {
            // Writing to a string cannot fail.
            let _ = write!(bytes, "{key}");
        }
        bytes.push_str(&self.after_path);
        bytes.push_str(name);
        bytes.push_str(&self.tail);
    }

    /// A function of seed and number only, so that it does not matter which client comes first.
    fn key(&self, index: u64) -> Option<u64> {
        let mut random = fastrand::Rng::with_seed(mixed(self.seed ^ mixed(index)));
        match self.keys {
            Keys::None => None,
            Keys::Uniform => Some(random.u64(IDS)),
            Keys::Hot(share) if random.f64() < share => {
                Some(fastrand::Rng::with_seed(mixed(self.seed)).u64(IDS))
            }
            Keys::Hot(_) => Some(random.u64(IDS)),
        }
    }
}

/// Numbers that follow each other become seeds that have nothing to do with each other.
fn mixed(number: u64) -> u64 {
    placement::draw(number, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(plan: &RequestPlan, seed: u64) -> Writer {
        Writer::new(&Target::new("127.0.0.1:80".parse().unwrap()), plan, seed)
    }

    fn bytes(writer: &Writer, index: u64) -> String {
        let mut bytes = String::new();
        writer.write(index, "n", &mut bytes);
        bytes
    }

    #[test]
    fn a_request_carries_its_name_its_host_and_its_body() {
        let get = bytes(&writer(&RequestPlan::get("/home"), 1), 7);
        assert_eq!(
            get,
            "GET /home HTTP/1.1\r\nhost: 127.0.0.1:80\r\nuser-agent: evenkeel-lab\r\nx-request-id: n\r\n\r\n"
        );
        let post = RequestPlan { method: "POST".into(), body: "{}".into(), ..RequestPlan::get("/add") };
        let post = bytes(&writer(&post, 1), 7);
        assert!(post.contains("\r\ncontent-length: 2\r\n") && post.ends_with("\r\n\r\n{}"), "{post}");
    }

    #[test]
    fn keys_follow_from_the_seed_and_are_six_digits() {
        let keys = |keys, seed| -> Vec<u64> {
            let writer = writer(&RequestPlan { keys, ..RequestPlan::get("/home?a=b") }, seed);
            assert!(bytes(&writer, 0).starts_with("GET /home?a=b&id="));
            (0..1000).map(|index| writer.key(index).unwrap()).collect()
        };
        let uniform = keys(Keys::Uniform, 1);
        assert_eq!(uniform, keys(Keys::Uniform, 1));
        assert_ne!(uniform, keys(Keys::Uniform, 2));
        assert!(uniform.iter().all(|key| IDS.contains(key)));
        let hot = keys(Keys::Hot(0.3), 1);
        let most = hot.iter().map(|key| hot.iter().filter(|other| *other == key).count()).max().unwrap();
        assert!((250..350).contains(&most), "{most} of 1000 should be about 300");
    }
}

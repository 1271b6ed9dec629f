//! Sessions that stay where they are: a cookie of ours names the seat that a visitor was given, so that it
//! outlives the replica there. Nobody can choose a seat by it, because only we can write one. Who sits there,
//! and who is next where nobody does, is the routing table's to say.

pub(crate) mod seal;

use std::time::{Duration, SystemTime};

use fleet::Preference;
use h1::RequestHead;
use placement::{Key, KeyHash, Seat};

use crate::travel::cookies;
use crate::travel::sticky::seal::{STICKY_SECRET_BYTES, Seal, Unsealed};

/// Of more cookies with our name that might be ours, nobody looks at the rest.
const CANDIDATES_MAX: usize = 4;

/// A cookie with a lifetime is renewed when this part of it is over, so that it ends with a visitor's absence
/// and not in the middle of a visit.
const RENEWED_AFTER: u32 = 10;

/// What the cookie looks like that keeps sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickyCookie {
    /// Its name, a token.
    pub name: String,
    /// How long a browser keeps it after the last visit; without it, until the browser is closed.
    pub lifetime: Option<Duration>,
    /// With which requests of other sites it is sent.
    pub same_site: SameSite,
}

/// With which requests that other sites cause a browser sends a cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// With those that lead a person here.
    #[default]
    Lax,
    /// With none.
    Strict,
    /// With all; browsers take such a cookie over TLS only.
    None,
}

/// Keeps the sessions of one service.
#[derive(Clone, Debug)]
pub struct Sticky {
    cookie: StickyCookie,
    seal: Seal,
}

/// What a visitor has been given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Where it was placed.
    pub seat: Seat,
    /// When, in seconds since 1970.
    begun: u64,
    /// What decides who is next.
    number: [u8; 12],
}

impl Sticky {
    /// Keeps the sessions of the service with this name. Cookies are valid for as long as the secret is the same.
    pub fn new(cookie: StickyCookie, service: &str, secret: &[u8; STICKY_SECRET_BYTES]) -> Self {
        Self { cookie, seal: Seal::new(secret, service) }
    }

    /// The name of the cookie.
    pub fn name(&self) -> &str {
        &self.cookie.name
    }

    /// The session that a request belongs to: that of the first cookie with our name that is ours. Whatever
    /// else has that name is as good as none.
    pub fn session(&self, head: &RequestHead) -> Option<Session> {
        let candidates = cookies::values(head, &self.cookie.name).filter(|text| Seal::is_possible(text));
        candidates.take(CANDIDATES_MAX).find_map(|text| Session::of(self.seal.open(text)?))
    }

    /// Whether the cookie of a request has a lifetime, and is to be renewed.
    pub(crate) fn is_old(&self, head: &RequestHead, now: SystemTime) -> bool {
        let Some((lifetime, session)) = self.cookie.lifetime.zip(self.session(head)) else { return false };
        let age = seconds(now).checked_sub(session.begun);
        // One that begins later than now was written by another clock.
        age.is_none_or(|age| age >= (lifetime / RENEWED_AFTER).as_secs())
    }

    /// The value of a `Set-Cookie` that names a seat. Nothing if there is no randomness to be had.
    pub(crate) fn set_cookie(&self, seat: Seat, now: SystemTime, is_secure: bool) -> Option<Vec<u8>> {
        let StickyCookie { name, lifetime, same_site } = &self.cookie;
        let sealed = self.seal.close(content(seat, seconds(now))).ok()?;
        let mut text = format!("{name}={sealed}; Path=/; HttpOnly; SameSite={}", same_site.name());
        if let Some(lifetime) = lifetime {
            text += &format!("; Max-Age={}", lifetime.as_secs());
        }
        if is_secure || *same_site == SameSite::None {
            text += "; Secure";
        }
        Some(text.into_bytes())
    }
}

impl Session {
    fn of(Unsealed { content, number }: Unsealed) -> Option<Self> {
        let (seat, begun) = content.split_first_chunk::<4>()?;
        let seat = Seat::new(u32::from_be_bytes(*seat))?;
        Some(Self { seat, begun: u64::from_be_bytes(begun.try_into().ok()?), number })
    }

    /// Where its requests go; `key` is that of the request, if it has one.
    pub fn preference(&self, key: Option<Key>, hash: KeyHash) -> Preference {
        Preference { seat: Some(self.seat), key: key.unwrap_or_else(|| hash.key(&self.number)) }
    }
}

impl SameSite {
    /// As in a cookie.
    fn name(self) -> &'static str {
        match self {
            Self::Lax => "Lax",
            Self::Strict => "Strict",
            Self::None => "None",
        }
    }
}

fn content(seat: Seat, begun: u64) -> [u8; seal::CONTENT_BYTES] {
    let mut content = [0; seal::CONTENT_BYTES];
    content[..4].copy_from_slice(&seat.number().to_be_bytes());
    content[4..].copy_from_slice(&begun.to_be_bytes());
    content
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    fn sticky(lifetime: Option<Duration>, same_site: SameSite) -> Sticky {
        let cookie = StickyCookie { name: "seat".into(), lifetime, same_site };
        Sticky::new(cookie, "web", &[7; STICKY_SECRET_BYTES])
    }

    fn at(time: Duration) -> SystemTime {
        SystemTime::UNIX_EPOCH + time
    }

    fn given(sticky: &Sticky, seat: u32) -> String {
        let text = sticky.set_cookie(Seat::new(seat).unwrap(), at(NOW), false).unwrap();
        String::from_utf8(text).unwrap().split(';').next().unwrap().to_owned()
    }

    fn request(cookies: &[&str]) -> RequestHead {
        let mut head = RequestHead::default();
        head.start(b"GET", b"/", None).unwrap();
        cookies.iter().for_each(|cookie| head.push(b"cookie", cookie.as_bytes()));
        head
    }

    #[test]
    fn the_cookie_that_was_given_names_the_seat_and_anything_else_is_as_good_as_none() {
        let sticky = sticky(None, SameSite::Lax);
        let own = given(&sticky, 7);
        let seat = |cookies: &[&str]| sticky.session(&request(cookies)).map(|session| session.seat.number());
        assert_eq!(seat(&[&own]), Some(7));
        assert_eq!(seat(&[&format!("a=1; {own}; b=2")]), Some(7));
        assert_eq!(seat(&["a=1", &own]), Some(7));
        let forged = format!("seat={}", "A".repeat(54));
        let long = format!("seat={}", "A".repeat(5000));
        for wrong in ["", "seat", "seat=", "seat=7", &own[..own.len() - 1], &forged, &long] {
            assert_eq!(seat(&[wrong]), None, "{wrong}");
            assert_eq!(seat(&[wrong, &own]), Some(7), "{wrong} hides nothing");
        }
        let upper = own.replace("seat=", "SEAT=");
        assert_eq!(seat(&[&upper]), None);
        assert_eq!(seat(&[&given(&sticky, 2), &own]), Some(2), "of two the first");
        let crowd = [forged.as_str(); CANDIDATES_MAX];
        assert_eq!(seat(&[&crowd[..], &[&own]].concat()), None, "nobody looks at so many");
    }

    #[test]
    fn a_cookie_says_to_browsers_what_they_may_do_with_it() {
        let hour = Some(Duration::from_secs(3600));
        for (lifetime, same_site, is_secure, rest) in [
            (None, SameSite::Lax, false, "Path=/; HttpOnly; SameSite=Lax"),
            (None, SameSite::Strict, true, "Path=/; HttpOnly; SameSite=Strict; Secure"),
            (hour, SameSite::None, false, "Path=/; HttpOnly; SameSite=None; Max-Age=3600; Secure"),
        ] {
            let text = sticky(lifetime, same_site).set_cookie(Seat::at_index(0), at(NOW), is_secure).unwrap();
            let text = String::from_utf8(text).unwrap();
            let (cookie, attributes) = text.split_once("; ").unwrap();
            assert_eq!(attributes, rest);
            assert!(cookie.starts_with("seat=") && !cookie.contains(['"', ' ', ',']), "{cookie}");
        }
    }

    #[test]
    fn a_lifetime_is_renewed_while_a_visit_lasts() {
        let hour = Duration::from_secs(3600);
        for (lifetime, time, expected) in [
            (None, NOW + 100 * hour, false),
            (Some(hour), NOW + hour / 11, false),
            (Some(hour), NOW + hour / 10, true),
            (Some(hour), NOW + 2 * hour, true),
            (Some(hour), NOW - hour, true),
        ] {
            let sticky = sticky(lifetime, SameSite::Lax);
            let head = request(&[&given(&sticky, 1)]);
            assert_eq!(sticky.is_old(&head, at(time)), expected, "{lifetime:?} {time:?}");
            assert!(!sticky.is_old(&request(&[]), at(time)));
        }
    }
}

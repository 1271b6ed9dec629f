//! Where the points of each layout are. Unsorted, and with all that fall together.

use md5::{Digest, Md5};

use super::layout::RingLayout;
use crate::NamedMember;
use crate::circle::narrow;

/// nginx's `ngx_http_upstream_init_chash`: points for each unit of weight.
const NGINX_POINTS: u32 = 160;
/// libketama's `ketama_create_continuum`: digests for each server of average weight.
const KETAMA_DIGESTS: f64 = 40.0;
/// How many points a digest of 16 bytes gives.
const POINTS_PER_DIGEST: u64 = 4;

/// How many points [`of`] will give.
pub(super) fn count(layout: RingLayout, members: &[NamedMember]) -> u64 {
    match layout {
        RingLayout::Nginx => total_weight(members) * u64::from(NGINX_POINTS),
        RingLayout::Ketama => {
            let digests = members.iter().map(|member| u64::from(ketama_digests(member, members)));
            digests.sum::<u64>() * POINTS_PER_DIGEST
        }
    }
}

/// Each point and the position of the member that it belongs to.
pub(super) fn of(layout: RingLayout, members: &[NamedMember]) -> Vec<(u32, u32)> {
    let mut points = Vec::with_capacity(count(layout, members) as usize);
    for (position, member) in members.iter().enumerate() {
        let mut add = |hash| points.push((hash, narrow(position)));
        match layout {
            RingLayout::Nginx => nginx(member, &mut add),
            RingLayout::Ketama => ketama(member, ketama_digests(member, members), &mut add),
        }
    }
    points
}

fn total_weight(members: &[NamedMember]) -> u64 {
    members.iter().map(|member| u64::from(member.weight())).sum()
}

fn nginx(member: &NamedMember, add: &mut impl FnMut(u32)) {
    let (host, port) = host_and_port(member.name());
    let mut base = crc32fast::Hasher::new();
    base.update(host.as_bytes());
    base.update(b"\0");
    base.update(port.as_bytes());
    let mut previous = 0_u32;
    for _ in 0..member.weight() * NGINX_POINTS {
        let mut hasher = base.clone();
        hasher.update(&previous.to_le_bytes());
        previous = hasher.finalize();
        add(previous);
    }
}

/// As nginx splits the text of a `server` line: a path after `unix:`; digits after the last colon
/// are the port; everything else is the host.
fn host_and_port(name: &str) -> (&str, &str) {
    let is_path = name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("unix:"));
    if is_path {
        return (&name[5..], "");
    }
    match name.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
        _ => (name, ""),
    }
}

/// ⌊weight / total · 40 · n⌋ with the widths that the C code has: a single-precision share, a
/// double-precision product, and single precision again before it is cut. Elsewhere the same
/// weights would now and then give a digest more or less.
fn ketama_digests(member: &NamedMember, members: &[NamedMember]) -> u32 {
    let share = member.weight() as f32 / total_weight(members) as f32;
    let digests = f64::from(share) * KETAMA_DIGESTS * members.len() as f64;
    (digests as f32).floor() as u32
}

fn ketama(member: &NamedMember, digests: u32, add: &mut impl FnMut(u32)) {
    for number in 0..digests {
        let digest = Md5::digest(format!("{}-{number}", member.name()));
        for bytes in digest.chunks_exact(4) {
            add(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_as_nginx_splits_them() {
        let cases = [
            ("127.0.0.1:80", ("127.0.0.1", "80")),
            ("example.org", ("example.org", "")),
            ("[::1]:8080", ("[::1]", "8080")),
            ("[2001:db8::1]", ("[2001:db8::1]", "")),
            ("unix:/run/app.sock", ("/run/app.sock", "")),
            ("UNIX:/run/a:80", ("/run/a:80", "")),
            ("7", ("7", "")),
            ("host:", ("host", "")),
            ("host:8o", ("host:8o", "")),
        ];
        for (name, expected) in cases {
            assert_eq!(host_and_port(name), expected, "{name}");
        }
    }
}

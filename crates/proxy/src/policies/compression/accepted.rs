//! What clients say of the codings that they read: RFC 9110, 12.5.3. Whoever says nothing gets none.

use h1::Fields;

use super::coding::Coding;

/// Of these codings the one that a client likes best; of equals the first.
pub(crate) fn preferred(fields: &Fields, codings: &[Coding]) -> Option<Coding> {
    let mut best: Option<(Coding, u16)> = None;
    for coding in codings {
        let weight = weight_of(fields, *coding);
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((*coding, weight));
        }
    }
    best.map(|(coding, _)| coding)
}

/// Those of these codings that a client reads, what it likes best first.
pub(crate) fn in_order(fields: &Fields, codings: &[Coding]) -> Vec<Coding> {
    let mut left = codings.to_vec();
    let next = || {
        let best = preferred(fields, &left)?;
        left.retain(|coding| *coding != best);
        Some(best)
    };
    std::iter::from_fn(next).collect()
}

/// How much it likes a coding, in thousandths. What it says twice counts as it says it last.
fn weight_of(fields: &Fields, coding: Coding) -> u16 {
    let (mut own, mut of_others) = (None, None);
    let lines = fields.all_named(b"accept-encoding");
    for element in lines.flat_map(|line| line.split(|byte| *byte == b',')) {
        let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let weight = weight_among(parts);
        if is_named(coding, name) {
            own = Some(weight);
        } else if name == b"*" {
            of_others = Some(weight);
        }
    }
    own.or(of_others).unwrap_or(0)
}

fn is_named(coding: Coding, name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(coding.name().as_bytes())
        // An old name of the same: RFC 9110, 8.4.1.3.
        || (coding == Coding::Gzip && name.eq_ignore_ascii_case(b"x-gzip"))
}

/// The weight among the parameters of a coding; what is none makes it unwanted.
fn weight_among<'a>(mut parameters: impl Iterator<Item = &'a [u8]>) -> u16 {
    let weight = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_at_checked(2)?;
        name.eq_ignore_ascii_case(b"q=").then_some(value)
    });
    weight.map_or(1000, |weight| thousandths(weight).unwrap_or(0))
}

/// `0`, `1`, or up to three digits behind a point: RFC 9110, 12.4.2.
fn thousandths(weight: &[u8]) -> Option<u16> {
    let (whole, digits) = match weight {
        [whole] => (whole, &[][..]),
        [whole, b'.', digits @ ..] if digits.len() <= 3 => (whole, digits),
        _ => return None,
    };
    let mut value = match whole {
        b'0' => 0,
        b'1' => 1,
        _ => return None,
    };
    for place in 0..3 {
        let digit = digits.get(place).copied().unwrap_or(b'0');
        value = value * 10 + u16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    (value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coding_is_the_one_that_a_client_likes_best() {
        let (br, gzip) = (Some(Coding::Brotli), Some(Coding::Gzip));
        for (lines, expected) in [
            (&[][..], None),
            (&[""], None),
            (&["gzip, deflate, br, zstd"], br),
            (&["gzip"], gzip),
            (&["GZip"], gzip),
            (&["x-gzip"], gzip),
            (&["gzip", "br"], br),
            (&["gzip;q=1.0, br;q=0.9"], gzip),
            (&["br ; Q=0.001"], br),
            (&["br;q=0.000, gzip;q=0"], None),
            (&["*"], br),
            (&["br;q=0, *"], gzip),
            (&["*;q=0, gzip"], gzip),
            (&["identity"], None),
            (&["gzip;q=2"], None),
            (&["gzip;q=1.001"], None),
            (&["gzip;q=0.1234"], None),
            (&["gzip;q="], None),
            (&["gzip;q=-1"], None),
            (&["gzip;level=9;q=0.5"], gzip),
            (&["gzipx, brr"], None),
            (&[",,;;,gzip,"], gzip),
            (&["gzip, gzip;q=0"], None),
        ] {
            let mut fields = Fields::default();
            lines.iter().for_each(|line| fields.push(b"Accept-Encoding", line.as_bytes()));
            assert_eq!(preferred(&fields, &Coding::ALL), expected, "{lines:?}");
        }
    }
}

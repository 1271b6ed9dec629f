//! Header and trailer fields, in the order in which they came.

use crate::characters::{is_token, is_value, trim, trim_start};
use crate::{BadHead, FieldName, HeadLimits, Underscores};

/// Fields with their bytes, in one allocation that can be used again.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    name: FieldName,
    start: u32,
    name_length: u32,
    value_start: u32,
    value_length: u32,
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// What it means.
    pub name: FieldName,
    /// Its name as it is written.
    pub name_bytes: &'a [u8],
    /// Its value, without white space around it.
    pub value: &'a [u8],
}

impl Fields {
    /// Forgets all fields and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
    }

    /// How much memory they have, in bytes.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + self.places.capacity() * size_of::<Place>()
    }

    /// How many bytes their lines have, or what stands in them.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Adds a field that is known to be valid.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.push_known(FieldName::of(name), name, value);
    }

    /// Forgets all but those with such names.
    pub(crate) fn retain(&mut self, is_kept: impl Fn(&[u8]) -> bool) {
        let bytes = &self.bytes;
        self.places.retain(|place| is_kept(&bytes[place.start as usize..][..place.name_length as usize]));
    }

    /// The same for a field whose meaning is known.
    pub(crate) fn push_known(&mut self, meaning: FieldName, name: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.places.push(Place {
            name: meaning,
            start: offset(start),
            name_length: offset(name.len()),
            value_start: offset(start + name.len()),
            value_length: offset(value.len()),
        });
    }

    /// All fields, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> + Clone {
        self.places.iter().map(|place| self.field(place))
    }

    /// The values of all fields with this meaning.
    pub fn all(&self, name: FieldName) -> impl Iterator<Item = &[u8]> + Clone {
        let places = self.places.iter().filter(move |place| place.name == name);
        places.map(|place| self.field(place).value)
    }

    /// The values of all fields with this name, which is in lower case.
    pub fn all_named<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(|field| field.name_bytes.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// The values between the commas of all fields with this meaning.
    pub fn elements(&self, name: FieldName) -> impl Iterator<Item = &[u8]> + Clone {
        self.all(name).flat_map(|value| value.split(|byte| *byte == b',').map(trim))
    }

    /// Reads lines up to the empty one; all of them end as they should.
    pub(crate) fn parse(&mut self, lines: &[u8], limits: &HeadLimits) -> Result<(), BadHead> {
        self.clear();
        // All at once: fields are then places in it.
        self.bytes.extend_from_slice(lines);
        let mut start = 0;
        while let Some(length) = memchr::memchr(b'\n', &lines[start..]) {
            let line = lines[start..start + length].strip_suffix(b"\r").ok_or(BadHead::BareLineFeed)?;
            if line.is_empty() {
                break;
            }
            self.parse_line(start, line, limits)?;
            start += length + 1;
        }
        if self.len() > limits.fields_max { Err(BadHead::TooManyFields) } else { Ok(()) }
    }

    fn parse_line(&mut self, start: usize, line: &[u8], limits: &HeadLimits) -> Result<(), BadHead> {
        let Some(parts) = split_line(line, limits)? else { return Ok(()) };
        let LineParts { name_length, value_start, value_length } = parts;
        self.places.push(Place {
            name: FieldName::of(&line[..name_length]),
            start: offset(start),
            name_length: offset(name_length),
            value_start: offset(start + value_start),
            value_length: offset(value_length),
        });
        Ok(())
    }

    fn field(&self, place: &Place) -> Field<'_> {
        let part = |start: u32, length: u32| &self.bytes[start as usize..][..length as usize];
        Field {
            name: place.name,
            name_bytes: part(place.start, place.name_length),
            value: part(place.value_start, place.value_length),
        }
    }
}

/// The places of name and value in a line.
struct LineParts {
    name_length: usize,
    value_start: usize,
    value_length: usize,
}

/// Whether a line without its end is a field, or one that is left out.
pub(crate) fn check_line(line: &[u8], limits: &HeadLimits) -> Result<(), BadHead> {
    split_line(line, limits).map(drop)
}

/// Name and value of a line without its end; nothing if it is left out.
fn split_line(line: &[u8], limits: &HeadLimits) -> Result<Option<LineParts>, BadHead> {
    let name_length = line.iter().position(|byte| !is_token(*byte)).unwrap_or(line.len());
    match line.get(name_length) {
        Some(b':') if name_length > 0 => {}
        Some(b' ' | b'\t') if name_length == 0 => return Err(BadHead::Folded),
        Some(byte) if *byte < 0x20 && *byte != b'\t' => return Err(BadHead::ControlCharacter),
        _ => return Err(BadHead::FieldName),
    }
    let rest = trim_start(&line[name_length + 1..]);
    let value_start = line.len() - rest.len();
    let value = trim(rest);
    if !is_value(value) {
        return Err(BadHead::ControlCharacter);
    }
    if limits.underscores != Underscores::Keep && line[..name_length].contains(&b'_') {
        return if limits.underscores == Underscores::Drop { Ok(None) } else { Err(BadHead::Underscore) };
    }
    Ok(Some(LineParts { name_length, value_start, value_length: value.len() }))
}

fn offset(number: usize) -> u32 {
    u32::try_from(number).expect("the limits keep heads far below 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[u8]) -> Result<Fields, BadHead> {
        let mut fields = Fields::default();
        fields.parse(lines, &HeadLimits::default())?;
        Ok(fields)
    }

    #[test]
    fn fields_come_in_their_order_with_their_bytes() {
        let fields = parse(b"Host: a\r\nX-B:\t caf\xc3\xa9 \xff \t\r\nx-empty:\r\n\r\nrest").unwrap();
        let all: Vec<_> = fields.iter().map(|field| (field.name_bytes, field.value)).collect();
        let expected: [(&[u8], &[u8]); 3] =
            [(b"Host", b"a"), (b"X-B", b"caf\xc3\xa9 \xff"), (b"x-empty", b"")];
        assert_eq!(all, expected);
        assert_eq!(fields.all(FieldName::Host).collect::<Vec<_>>(), [b"a"]);
    }

    #[test]
    fn lines_that_are_no_fields() {
        let cases: [(&[u8], BadHead); 12] = [
            (b"no colon\r\n\r\n", BadHead::FieldName),
            (b": a\r\n\r\n", BadHead::FieldName),
            (b"a : b\r\n\r\n", BadHead::FieldName),
            (b"a\t: b\r\n\r\n", BadHead::FieldName),
            (b"a(: b\r\n\r\n", BadHead::FieldName),
            (b"\xc3\xa9: b\r\n\r\n", BadHead::FieldName),
            (b" a: b\r\n\r\n", BadHead::Folded),
            (b"a: b\r\n\tc\r\n\r\n", BadHead::Folded),
            (b"a\0: b\r\n\r\n", BadHead::ControlCharacter),
            (b"a: b\rc\r\n\r\n", BadHead::ControlCharacter),
            (b"a: \x7f\r\n\r\n", BadHead::ControlCharacter),
            (b"a: b\n\r\n", BadHead::BareLineFeed),
        ];
        for (lines, fault) in cases {
            assert_eq!(parse(lines).err(), Some(fault), "{}", lines.escape_ascii());
        }
    }

    #[test]
    fn underscores_are_dropped_kept_or_rejected() {
        let count = |underscores| {
            let limits = HeadLimits { underscores, ..HeadLimits::default() };
            let mut fields = Fields::default();
            fields.parse(b"x_user: a\r\nx-user: b\r\n\r\n", &limits).map(|()| fields.len())
        };
        assert_eq!(count(Underscores::Drop), Ok(1));
        assert_eq!(count(Underscores::Keep), Ok(2));
        assert_eq!(count(Underscores::Reject), Err(BadHead::Underscore));
    }

    #[test]
    fn fields_that_are_not_retained_are_gone_and_the_others_stay_as_they_are() {
        let mut fields = parse(b"A: 1\r\nb: 2\r\na: 3\r\nc: 4\r\n\r\n").unwrap();
        fields.retain(|name| !name.eq_ignore_ascii_case(b"a"));
        fields.push(b"d", b"5");
        let all: Vec<_> = fields.iter().map(|field| (field.name_bytes, field.value)).collect();
        let expected: [(&[u8], &[u8]); 3] = [(b"b", b"2"), (b"c", b"4"), (b"d", b"5")];
        assert_eq!(all, expected);
    }

    #[test]
    fn elements_are_what_stands_between_commas() {
        let fields = parse(b"Connection: close, \tX-A,,\r\nconnection: te\r\n\r\n").unwrap();
        let elements: Vec<_> = fields.elements(FieldName::Connection).collect();
        let expected: [&[u8]; 5] = [b"close", b"X-A", b"", b"", b"te"];
        assert_eq!(elements, expected);
    }
}

//! How much of what goes over a connection is of use to anybody: frames are told from what is in them. It
//! reads nine bytes of each, says what frames there were, and judges nothing but the sum.

use std::cell::Cell;

/// So many bytes may pass for each that is of use, before which the first ones are free: nginx's rule.
const OVERHEAD_MAX: u64 = 8;
const FREE: u64 = 1 << 20;

const PREFACE_LENGTH: u32 = 24;
const HEAD_LENGTH: usize = 9;
pub(super) const DATA: u8 = 0;
const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const PADDED: u8 = 8;

/// What has passed in both directions.
#[derive(Default)]
pub(super) struct Passed {
    bytes: Cell<u64>,
    /// Of those, bodies and heads.
    payload: Cell<u64>,
}

impl Passed {
    /// Of both directions, so far.
    pub(super) fn payload(&self) -> u64 {
        self.payload.get()
    }

    /// Whether next to nothing of it was of use.
    pub(super) fn is_flood(&self) -> bool {
        self.bytes.get() / OVERHEAD_MAX > self.payload.get() + FREE
    }
}

/// Reads the heads of frames in one direction.
pub(super) struct Frames {
    head: [u8; HEAD_LENGTH],
    /// How much of the head of the next frame is here.
    read: usize,
    /// How much is to come before that.
    left: u32,
    /// The next byte says how much of the frame is padding.
    is_padding_next: bool,
    /// The number that the frame has, as far as it is here.
    number: u32,
    /// How many of its bytes are to come.
    number_left: u32,
}

/// A frame that somebody may have to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) kind: u8,
    pub(super) stream: u32,
    /// How long a frame of DATA is, or by how much a window grows.
    pub(super) number: u32,
}

impl Frames {
    /// Of a client, behind its preface.
    pub(super) fn of_client() -> Self {
        Self { left: PREFACE_LENGTH, ..Self::of_server() }
    }

    pub(super) fn of_server() -> Self {
        Self { head: [0; HEAD_LENGTH], read: 0, left: 0, is_padding_next: false, number: 0, number_left: 0 }
    }

    /// These bytes come next. Calls back with each frame of DATA, RST_STREAM and WINDOW_UPDATE.
    pub(super) fn pass(&mut self, bytes: &[u8], passed: &Passed, mut see: impl FnMut(Seen)) {
        passed.bytes.update(|sum| sum + bytes.len() as u64);
        let mut bytes = bytes;
        while let Some((&first, rest)) = bytes.split_first() {
            if self.left == 0 {
                self.head[self.read] = first;
                self.read += 1;
                bytes = rest;
                if self.read == HEAD_LENGTH {
                    self.begin(passed, &mut see);
                }
            } else if self.is_padding_next {
                let padding = u32::from(first) + 1;
                self.is_padding_next = false;
                passed.payload.update(|sum| sum.saturating_sub(u64::from(padding.min(self.left))));
                self.left -= 1;
                bytes = rest;
            } else if self.number_left > 0 {
                self.number = self.number << 8 | u32::from(first);
                self.number_left -= 1;
                self.left -= 1;
                bytes = rest;
                if self.number_left == 0 {
                    see(self.seen(self.number & 0x7fff_ffff));
                }
            } else {
                let count = bytes.len().min(self.left as usize);
                self.left -= count as u32;
                bytes = &bytes[count..];
            }
        }
    }

    /// The head of a frame is whole.
    fn begin(&mut self, passed: &Passed, see: &mut impl FnMut(Seen)) {
        let [high, middle, low, kind, flags, ..] = self.head;
        self.read = 0;
        self.left = u32::from_be_bytes([0, high, middle, low]);
        self.is_padding_next = self.left > 0 && flags & PADDED != 0 && matches!(kind, DATA | HEADERS);
        if matches!(kind, DATA | HEADERS | CONTINUATION) {
            passed.payload.update(|sum| sum + u64::from(self.left));
        }
        let has_number = matches!(kind, RST_STREAM | WINDOW_UPDATE) && self.left >= 4;
        (self.number, self.number_left) = (0, if has_number { 4 } else { 0 });
        if kind == DATA {
            see(self.seen(self.left));
        }
    }

    fn seen(&self, number: u32) -> Seen {
        let [_, _, _, kind, _, stream @ ..] = self.head;
        Seen { kind, stream: u32::from_be_bytes(stream) & 0x7fff_ffff, number }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags, 0, 0, 0, 1]);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn heads_and_bodies_are_of_use_and_padding_is_not() {
        for (claim, frame, payload) in [
            ("a body", frame(DATA, 0, b"abc"), 3),
            ("an empty one", frame(DATA, 1, b""), 0),
            ("a body with padding", frame(DATA, PADDED, b"\x02abc\0\0"), 3),
            ("nothing but padding", frame(DATA, PADDED, b"\x02\0\0"), 0),
            ("padding that says more than there is", frame(DATA, PADDED, b"\xff\0\0"), 0),
            ("a head", frame(HEADERS, 4, b"\x82"), 1),
            ("a head with padding", frame(HEADERS, 4 | PADDED, b"\x01\x82\0"), 1),
            ("the rest of one", frame(CONTINUATION, 4, b"\x82\x83"), 2),
            ("a priority", frame(2, 0, &[0; 5]), 0),
            ("settings", frame(4, 0, &[0; 6]), 0),
            ("a ping, whose flag means something else", frame(6, PADDED, &[1; 8]), 0),
            ("what nobody knows", frame(77, 0, &[9; 20]), 0),
        ] {
            // However it is cut.
            for cut in 1..=frame.len() {
                let (mut frames, passed) = (Frames::of_server(), Passed::default());
                frame.chunks(cut).for_each(|piece| frames.pass(piece, &passed, |_| ()));
                assert_eq!(
                    (passed.bytes.get(), passed.payload.get()),
                    (frame.len() as u64, payload),
                    "{claim}"
                );
                frames.pass(&frame, &passed, |_| ());
                assert_eq!(passed.payload.get(), 2 * payload, "{claim}, again");
            }
        }
    }

    #[test]
    fn frames_are_seen_however_they_are_cut() {
        let bytes = [
            frame(DATA, 0, b"abc"),
            frame(WINDOW_UPDATE, 0, &[0x80, 0, 1, 2]),
            frame(4, 0, &[0; 6]),
            frame(RST_STREAM, 0, &[0, 0, 0, 8]),
            frame(RST_STREAM, 0, &[0]),
            frame(DATA, 1, b""),
        ];
        let bytes = bytes.concat();
        let seen = |kind, number| Seen { kind, stream: 1, number };
        let expected = [seen(DATA, 3), seen(WINDOW_UPDATE, 258), seen(RST_STREAM, 8), seen(DATA, 0)];
        for cut in 1..=bytes.len() {
            let (mut frames, mut all) = (Frames::of_server(), Vec::new());
            bytes.chunks(cut).for_each(|piece| frames.pass(piece, &Passed::default(), |one| all.push(one)));
            assert_eq!(all, expected, "{cut}");
        }
    }

    #[test]
    fn a_preface_begins_no_frame() {
        let (mut frames, passed) = (Frames::of_client(), Passed::default());
        frames.pass(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &passed, |_| ());
        frames.pass(&frame(DATA, 0, b"abc"), &passed, |_| ());
        assert_eq!(passed.payload.get(), 3);
    }

    #[test]
    fn a_flood_is_overhead_that_nothing_makes_up_for() {
        let (mut frames, passed) = (Frames::of_server(), Passed::default());
        let mut count = 0_u64;
        while !passed.is_flood() {
            frames.pass(&frame(2, 0, &[0; 5]), &passed, |_| ());
            count += 1;
        }
        assert_eq!(count * 14 / OVERHEAD_MAX, FREE + 1);
        frames.pass(&frame(DATA, 0, &[0; 16]), &passed, |_| ());
        assert!(!passed.is_flood(), "a body makes up for some");
    }
}

//! How many responses are compressed at a time.

use std::cell::Cell;
use std::rc::Rc;

/// How many responses a worker compresses at a time; the others are sent as they are, as all are while memory is
/// short. A compressor has up to 1.1 MiB (brotli) or 0.4 MiB (gzip), which count for `limits.memory`.
pub(super) const COMPRESSING_MAX: usize = 64;

/// How many responses of a worker are being compressed.
#[derive(Debug, Default)]
pub(crate) struct Compressing(Cell<usize>);

/// The right to compress one response, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Permit(Rc<Compressing>);

impl Permit {
    pub(super) fn take(all: &Rc<Compressing>) -> Option<Self> {
        if all.0.get() >= COMPRESSING_MAX {
            return None;
        }
        all.0.set(all.0.get() + 1);
        Some(Self(Rc::clone(all)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get() - 1);
    }
}

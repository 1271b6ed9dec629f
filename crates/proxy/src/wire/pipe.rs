//! Pipes of the kernel, lent to bodies that pass without being looked at. How many there are is limited:
//! each takes descriptors and memory of the kernel.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

/// How much a pipe should hold, in bytes. The kernel may give less.
pub(crate) const PIPE_SIZE: usize = 1 << 20;
/// The most idle pipes that a worker keeps.
const KEPT_MAX: usize = 32;
/// The most pipes of a worker. Each takes two descriptors, and as much of the kernel's memory as a slow
/// client leaves in it.
const PIPES_MAX: usize = 128;
/// How many connections there are to one pipe: their descriptors are counted without pipes.
const CONNECTIONS_PER_PIPE: usize = 32;

/// The pipes of a worker.
pub(crate) struct Pipes {
    idle: RefCell<Vec<Pipe>>,
    /// How many more may be in use.
    left: Cell<usize>,
}

/// A way through the kernel.
pub(crate) struct Pipe {
    pub(crate) reader: OwnedFd,
    pub(crate) writer: OwnedFd,
}

impl Pipes {
    /// For a worker that may have this many connections.
    pub(crate) fn new(connections_max: usize) -> Rc<Self> {
        let left = Cell::new((connections_max / CONNECTIONS_PER_PIPE).clamp(1, PIPES_MAX));
        Rc::new(Self { idle: RefCell::default(), left })
    }

    /// A pipe with nothing in it, if one is left.
    pub(crate) fn take(&self) -> Option<Pipe> {
        let left = self.left.get().checked_sub(1)?;
        let idle = self.idle.borrow_mut().pop();
        // Without descriptors or memory for one, bytes are copied.
        let pipe = idle.or_else(|| {
            let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
            let _ = fcntl_setpipe_size(&writer, PIPE_SIZE);
            Some(Pipe { reader, writer })
        })?;
        self.left.set(left);
        Some(pipe)
    }

    /// Takes a pipe back.
    pub(crate) fn put(&self, pipe: Pipe, is_empty: bool) {
        self.left.set(self.left.get() + 1);
        let mut idle = self.idle.borrow_mut();
        // One that still holds bytes of somebody's is of no use to others.
        if is_empty && idle.len() < KEPT_MAX {
            idle.push(pipe);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_have_a_limit_and_come_back() {
        let pipes = Pipes::new(3 * CONNECTIONS_PER_PIPE);
        let taken: Vec<Pipe> = std::iter::from_fn(|| pipes.take()).collect();
        assert_eq!(taken.len(), 3);
        for (index, pipe) in taken.into_iter().enumerate() {
            pipes.put(pipe, index > 0);
        }
        assert_eq!(pipes.idle.borrow().len(), 2, "one was not empty");
        assert_eq!(std::iter::from_fn(|| pipes.take()).count(), 3);
    }
}

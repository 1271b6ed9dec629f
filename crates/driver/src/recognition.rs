//! What a driver says of whoever answers at a replica's address.

/// Whether it is the replica that answers at its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recognition {
    /// Nobody else can.
    Itself,
    /// Nobody listens there now, or the replica is over.
    Nobody,
    /// Nobody else can, and yet it is not well by another sign than its heartbeat: by which, in words.
    Unwell(String),
    /// Somebody else listens there: who, and what is made of it, in words.
    Stranger(String),
}

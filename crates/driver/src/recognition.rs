//! What a driver says of whoever answers at a replica's address.

/// Whether it is the replica that answers at its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recognition {
    /// Nobody else can.
    Itself,
    /// Nobody listens there now, or the replica is over.
    Nobody,
    /// Somebody else listens there: who, and what is made of it, in words.
    Stranger(String),
}

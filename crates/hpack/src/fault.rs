//! What can be wrong with a block.

/// Why a block cannot be read. Nothing behind it can be, either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBlock {
    /// It ends within a field.
    #[error("a block of fields ends within a field")]
    CutOff,
    /// A number is larger than any that there can be.
    #[error("a number in a block of fields is too large")]
    Number,
    /// A number that stands for no field.
    #[error("a block of fields names a field that there is not")]
    Unknown,
    /// A text that is not in the code of the standard.
    #[error("a text in a block of fields is not encoded as it should be")]
    Text,
    /// A size of the table that is not allowed, or stands behind a field.
    #[error("a block of fields changes the size of the table as it must not")]
    TableSize,
}

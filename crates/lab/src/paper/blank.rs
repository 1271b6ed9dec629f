//! In place of drawing, where this was built without it: there are no pictures.

use super::chart::{Chart, DrawError, Picture};

/// None.
pub(super) fn picture(_: &Chart) -> Result<Option<Picture>, DrawError> {
    Ok(None)
}

/// None.
pub(super) fn letters() -> Option<String> {
    None
}

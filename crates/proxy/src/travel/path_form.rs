//! What a service wants to become of paths that can be read in more than one way.

use h1::{OddPath, RequestHead, normal_path};

/// What becomes of paths that can be read in more than one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathForm {
    /// They are sent on in their normal form; those that have none are refused.
    #[default]
    Normalize,
    /// They are refused.
    Refuse,
    /// They are sent on as they came.
    AsSent,
}

impl PathForm {
    /// Brings the path of a request into the form in which its replica gets it, or says why it gets none.
    pub fn apply(self, head: &mut RequestHead) -> Result<(), OddPath> {
        if self == Self::AsSent || head.has_plain_path() {
            return Ok(());
        }
        let mut normal = Vec::new();
        normal_path(head.path(), &mut normal)?;
        if normal == head.path() {
            return Ok(());
        }
        if self == Self::Refuse {
            return Err(OddPath::NotNormal);
        }
        head.replace_path(&normal);
        Ok(())
    }
}

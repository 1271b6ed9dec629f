//! What secrets hold, on its way from whoever read it to where it is kept. It is shown to nobody.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use files::Secret;

use crate::keyed::Keyed;

/// What secrets hold, by the digests of it. It is shown to nobody.
#[derive(Clone, Default)]
pub struct Contents(Arc<BTreeMap<String, Vec<u8>>>);

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Contents({})", self.0.len())
    }
}

impl Contents {
    /// Of these secrets, and the digest of each under its name.
    pub fn of(secrets: BTreeMap<String, Vec<u8>>, key: &Secret) -> (Self, BTreeMap<String, String>) {
        let (mut contents, mut digests) = (BTreeMap::new(), BTreeMap::new());
        for (name, bytes) in secrets {
            let hexadecimal = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let digest = Keyed::over(key, "content", &[hexadecimal]).digits();
            digests.insert(name, digest.clone());
            contents.insert(digest, bytes);
        }
        (Self(Arc::new(contents)), digests)
    }

    /// Each under its digest.
    pub(super) fn by_digest(&self) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.0.iter()
    }
}

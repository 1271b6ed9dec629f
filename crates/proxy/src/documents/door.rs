//! Whoever may not ask for a file by its own path gets it by no other: where the file that stands for a folder, one
//! with a suffix, or the fallback lies in another location than the path that leads to it, what is asked there is
//! asked, too.

use h1::widest_path;

use crate::clients::client::Client;
use crate::documents::search::Search;
use crate::policies::protection::Guards;
use crate::policies::rewrite::PathRewrite;
use crate::travel::errand::Errand;
use crate::travel::guards;
use crate::travel::inquiry::Denial;
use crate::travel::path_rule::Reading;
use crate::travel::sign_in;

/// What a request has passed on its way to a folder.
#[derive(Clone, Copy)]
pub(crate) struct Door<'a> {
    pub(crate) guards: &'a Guards,
    /// The place of its location among those of the service.
    pub(crate) location: Option<usize>,
}

impl Door<'_> {
    /// Asks what else is asked of requests for the file that was found: this path below the folder.
    pub(super) async fn pass<C: Client>(
        self,
        errand: &mut Errand<'_, C>,
        search: &Search,
        found: &[u8],
    ) -> Result<(), Denial> {
        if found == search.place.path || !self.guards.has_locations() {
            return Ok(());
        }
        let (request, head) = (errand.request, errand.head);
        let rewrite = errand.service.settings.policies.rewrite.as_ref();
        let Some(path) = as_asked(found, rewrite, head.path()) else { return Ok(()) };
        let location = self.guards.location(&widest_path(&path), Reading::Widest);
        if location == self.location {
            return Ok(());
        }
        let guard = self.guards.at(location).beyond(self.guards.at(self.location));
        guards::is_let_in(request, &guard, head)?;
        if guard.asks_who() {
            Box::pin(sign_in::pass(request, &guard, head, errand.client)).await?;
        }
        Ok(())
    }
}

/// The path by which a client asks for a file itself, if there is one, in the manner in which it has asked for another.
fn as_asked(found: &[u8], rewrite: Option<&PathRewrite>, asked: &[u8]) -> Option<Vec<u8>> {
    let mut path = vec![b'/'];
    for byte in found {
        match byte {
            // It is a part of the name, and no escape.
            b'%' => path.extend_from_slice(b"%25"),
            byte => path.push(*byte),
        }
    }
    match rewrite {
        Some(rewrite) => rewrite.undone(&path, asked),
        None => Some(path),
    }
}

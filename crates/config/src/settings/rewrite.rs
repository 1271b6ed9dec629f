//! What replicas see of how a request came: the keys about prefixes of its path, and about `Via`.

use proxy::Policies;

use crate::form::{Flag, Maybe, Text};
use crate::keys::{Key, Keys, Told};
use crate::web;

/// The keys of that.
pub(super) fn keys(keys: &mut impl Keys, it: &mut Policies) {
    let rewrite = it.rewrite.get_or_insert_default();
    let limits = || Told::Instead("at most 1024 characters, begins with `/`, ends without");
    keys.key(
        Key::new(
            "strip_prefix",
            Maybe(Text::of("string", web::prefix)),
            "taken off the paths that have it: with `\"/api\"`, `/api/x` gets to the replica as `/x`, see \
             [Prefixes](#prefixes)",
        )
        .limits(limits()),
        &mut rewrite.strip,
    );
    keys.key(
        Key::new(
            "add_prefix",
            Maybe(Text::of("string", web::prefix)),
            "put before the path, or before what `strip_prefix` leaves of it",
        )
        .limits(limits()),
        &mut rewrite.add,
    );
    let says = "whether replicas are told by `Via` that there is a proxy: nginx as a replica compresses nothing then. \
                Without, a `Via` of the client goes, too";
    let mut tells_via = !it.hides_via;
    keys.key(Key::new("via", Flag, says), &mut tells_via);
    it.hides_via = !tells_via;
}

//! Pages that stand for errors: the keys of that.

use proxy::{ErrorPages, Statuses};

use crate::filed;
use crate::form::Flag;
use crate::keys::{Key, Keys};
use crate::texts::TextTable;
use crate::value;

const PAGES_MAX: usize = 32;

fn files() -> TextTable<Statuses, std::path::PathBuf> {
    TextTable { name: filed::statuses, value: value::file, most: PAGES_MAX }
}

/// Those of a service.
pub(super) fn of_service(keys: &mut impl Keys, it: &mut Option<ErrorPages>) {
    let it = it.get_or_insert_default();
    let says = "files that stand for errors, by their status or kind: `404 = \"errors/404.html\"`, `5xx = \"errors/5xx.html\"`, \
                see [below](#error-pages)";
    keys.key(Key::new("error_pages", files(), says), &mut it.files);
    let says = "whether they stand also for what replicas answer";
    keys.key(Key::new("replace_errors", Flag, says), &mut it.replace_errors);
}

/// Those of a listener.
pub(super) fn of_listener(keys: &mut impl Keys, it: &mut Option<ErrorPages>) {
    let it = it.get_or_insert_default();
    let says = "files that stand for errors of requests that came to no service, or to one that has no page for them, see \
                [below](#error-pages)";
    keys.key(Key::new("error_pages", files(), says), &mut it.files);
}

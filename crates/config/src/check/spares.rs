//! Spares, and what does not go with them: whatever a replica would have to be told of its seat.

use super::Checker;
use crate::found::Found;
use crate::problem::Wrong;
use crate::words;

impl Checker<'_, '_> {
    /// Notes what tells a replica the number of its seat: a spare starts before it has one.
    pub(super) fn refuse_numbers(&mut self, table: &Found) {
        let help = "a spare starts before anybody knows which seat it will take";
        if let Some(given) = table.text("server_id").filter(|given| given.text == "number") {
            let what = "server_id = \"number\" does not go with `spares`";
            self.note(
                &given.at,
                Wrong::new(what).help(format!("{help}; names are known: server_id = \"name\"")),
            );
        }
        for word in table.parts("command").iter().filter(|word| words::has_placeholder(&word.text, "seat")) {
            let what = "`{seat}` in `command` does not go with `spares`";
            self.note(&word.at, Wrong::new(what).help(format!("{help}; use `{{name}}`")));
        }
    }
}

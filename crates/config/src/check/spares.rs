//! Spares, and what does not go with them: whatever a replica would have to be told of its seat.

use super::Checker;
use crate::file::ServiceTable;
use crate::problem::Wrong;
use crate::settings::SPARES_MAX;

impl Checker<'_, '_> {
    /// How many there shall be.
    pub(super) fn spares(&mut self, table: &ServiceTable) -> Option<u32> {
        let spares = self.whole(&table.spares, 0..=SPARES_MAX)?;
        if spares > 0 {
            self.refuse_numbers(table);
        }
        Some(spares)
    }

    /// Notes what tells a replica the number of its seat: a spare starts before it has one.
    fn refuse_numbers(&mut self, table: &ServiceTable) {
        let help = "a spare starts before anybody knows which seat it will take";
        if let Some(given) = table.server_id.as_ref().filter(|given| given.value == "number") {
            let what = "server_id = \"number\" does not go with `spares`";
            self.note(
                &given.at,
                Wrong::new(what).help(format!("{help}; names are known: server_id = \"name\"")),
            );
        }
        let words = table.command.iter().flat_map(|given| &given.value);
        for word in words.filter(|word| word.value.contains("{seat}")) {
            let what = "`{seat}` in `command` does not go with `spares`";
            self.note(&word.at, Wrong::new(what).help(format!("{help}; use `{{name}}`")));
        }
    }
}

//! What replicas may do and know that we start: their account, their rights, what they inherit. Each key is
//! declared once, here.

use crate::form::{Flag, List, Maybe, Text};
use crate::keys::{Effect, Key, Keys, Told};
use crate::only::{OF_OWNED, OF_PROCESS};
use crate::value;

/// No environment of ours has more that is worth passing on.
const INHERIT_MAX: usize = 256;

/// What a process may do, and what it gets to know of its balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// The account that it runs as; the balancer's own without it.
    pub user: Option<String>,
    /// The group; the account's own without it.
    pub group: Option<String>,
    /// Whether it may get more rights than it was started with.
    pub new_privileges: bool,
    /// The variables of the balancer's environment that it gets, beside the few that all get.
    pub inherit: Vec<String>,
}

impl Rights {
    /// Both as an engine takes them.
    pub(super) fn in_container(&self) -> Option<String> {
        let user = self.user.as_ref()?;
        Some(self.group.as_ref().map_or_else(|| user.clone(), |group| format!("{user}:{group}")))
    }

    pub(super) fn walk(&mut self, keys: &mut impl Keys) {
        let own = |what| Told::Instead(what);
        keys.key(
            Key::new("user", Maybe(Text::of("string", value::account_and_group)), "")
                .only(OF_OWNED)
                .effect(Effect::Deploy)
                .default(own("the balancer's own account; for containers, what the image says")),
            &mut self.user,
        );
        keys.key(
            Key::new("group", Maybe(Text::of("string", value::account)), "")
                .only(OF_OWNED)
                .effect(Effect::Deploy)
                .default(own("the group of `user`")),
            &mut self.group,
        );
        keys.key(
            Key::new("new_privileges", Flag, "").only(OF_OWNED).effect(Effect::Deploy),
            &mut self.new_privileges,
        );
        let example = "inherit = [\"DATABASE_URL\"]";
        let names = List { each: Text::of("string", value::variable), example, most: Some(INHERIT_MAX) };
        keys.key(
            Key::new("inherit", names, "")
                .only(OF_PROCESS)
                .effect(Effect::Deploy)
                .default(Told::Instead("none")),
            &mut self.inherit,
        );
    }
}

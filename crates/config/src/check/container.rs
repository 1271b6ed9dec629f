//! What containers have beside: that no two things are in one place, and what only goes with something else.

use std::collections::BTreeMap;

use super::Checker;
use crate::container;
use crate::found::{Found, Part};
use crate::only::DriverKind;
use crate::problem::Wrong;
use crate::settings::DriverKeys;

/// What the engine itself has in every container.
const OF_THE_ENGINE: [&str; 6] = ["/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

/// Where secrets are in a container.
const SECRETS: &str = "/run/secrets";

impl Checker<'_, '_> {
    pub(super) fn container(&mut self, table: &Found, keys: &DriverKeys) {
        self.check_places(table);
        if let (Some(at), true) = (table.value_at("networks"), table.has("network")) {
            let wrong = Wrong::new("`network` and `networks` say the same");
            self.note(
                at,
                wrong.help("keep `networks`; the first is the one by which containers are reached"),
            );
        }
        if let Some(at) = table.array_at("networks") {
            let listed = table.parts("networks");
            if listed.is_empty() {
                self.note(at, Wrong::new("`networks` must list at least one network"));
            }
            let twice = listed
                .iter()
                .enumerate()
                .find(|(at, one)| listed[..*at].iter().any(|other| other.text == one.text));
            if let Some((_, part)) = twice {
                self.note(&part.at, Wrong::new(format!("`networks` lists {:?} twice", part.text)));
            }
        }
        if let (Some(at), true) = (table.value_at("log_options"), keys.fittings.log_driver.is_none())
            && table.is_sound("log_driver")
        {
            let wrong = Wrong::new("`log_options` are of no `log_driver`");
            self.note(at, wrong.help("add log_driver = \"…\": each driver has options of its own"));
        }
        self.check_group(table, keys);
    }

    /// Notes a group that is said twice, or where processes have a key of its own for it.
    fn check_group(&mut self, table: &Found, keys: &DriverKeys) {
        let Some(user) = table.text("user").filter(|user| user.text.contains(':')) else { return };
        if keys.kind == DriverKind::Process || table.has("group") {
            let wrong = Wrong::new("`user` names a group, too");
            self.note(&user.at.clone(), wrong.help("leave it to `group`: user = \"app\", group = \"staff\""));
        }
    }

    /// Notes what would be where something else is already.
    fn check_places(&mut self, table: &Found) {
        let volume = |part: &Part| container::volume(&part.text).map(|volume| volume.target);
        let tmpfs = |part: &Part| container::tmpfs(&part.text).map(|tmpfs| tmpfs.target);
        let volumes = table.parts("volumes").iter().map(|part| (volume(part), part));
        let secrets = table.parts("secrets").iter().map(|part| (Ok(format!("{SECRETS}/{}", part.key)), part));
        let all = secrets.chain(volumes).chain(table.parts("tmpfs").iter().map(|part| (tmpfs(part), part)));
        let mut earlier = BTreeMap::new();
        for (target, part) in all {
            let Ok(target) = target else { continue };
            if OF_THE_ENGINE.contains(&target.as_str()) {
                let wrong = Wrong::new(format!(
                    "`{}` cannot be in place of {target}: that is the engine's",
                    part.key
                ));
                self.note(&part.at, wrong.help("choose another path inside"));
            }
            if earlier.insert(target.clone(), ()).is_some() {
                let wrong = Wrong::new(format!("`{}` mounts a second time at {target}", part.key));
                self.note(&part.at, wrong.help("each path inside has one volume or folder in memory"));
            }
        }
    }
}

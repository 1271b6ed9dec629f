//! What depends on a service's driver: the keys that it needs, the keys that it does not have, and
//! where the number of replicas comes from.

use std::collections::HashSet;

use super::Checker;
use crate::found::Found;
use crate::only::DriverKind;
use crate::problem::Wrong;
use crate::settings::{DriverChoice, DriverKeys, REPLICAS_MAX, ServiceSettings};
use crate::{value, words};

const COMMAND_WORDS_MAX: usize = 1024;

impl Checker<'_, '_> {
    pub(super) fn driver(&mut self, keys: &DriverKeys, table: &Found) -> DriverChoice {
        let kind = keys.kind;
        // Which keys a driver of an unknown name has is not for us to say.
        if table.is_sound("driver") {
            self.refuse_foreign_keys(table, "driver", kind.name());
            self.refuse_foreign_placeholders(table, keys);
            self.check_account(table, keys);
        }
        // Checked whatever the driver, so that every wrong value is found in one run.
        self.check_command(table, "command");
        self.check_command(table, "entrypoint");
        self.container(table, keys);
        self.check_addresses(table);
        match kind {
            DriverKind::Process => {}
            DriverKind::Docker => self.require(table, "image", "image = \"evenkeel-replica\""),
            DriverKind::Static => self.require(table, "addresses", "addresses = [\"127.0.0.1:9001\"]"),
            DriverKind::Files => {
                self.require(table, "root", "root = \"/srv/www\"");
                self.refuse_keys_of_replicas(table);
            }
        }
        keys.choice()
    }

    /// How many replicas to begin with.
    pub(super) fn replicas(&mut self, given: u32, driver: &DriverChoice, table: &Found) -> u32 {
        let addresses = match driver {
            DriverChoice::Static { addresses } => addresses,
            DriverChoice::Files { .. } => return 0,
            DriverChoice::Process { .. } | DriverChoice::Docker { .. } => return given,
        };
        // Counted in the file: a wrong address is a problem of its own, and not a missing one.
        let listed = table.parts("addresses").len();
        if let Some(at) = table.value_at("replicas")
            && table.is_sound("replicas")
            && listed > 0
            && given as usize != listed
        {
            let what = format!("`replicas` is {given}, but `addresses` lists {listed}");
            self.note(at, Wrong::new(what).help("remove `replicas`; the addresses are counted"));
        }
        u32::try_from(addresses.len()).unwrap_or(u32::MAX)
    }

    /// Notes a group of nobody, and an account whose processes would have sockets: whoever may put a socket
    /// into a folder may put a link to another one there.
    fn check_account(&mut self, table: &Found, keys: &DriverKeys) {
        if let (Some(at), false) = (table.value_at("group"), table.has("user")) {
            let wrong = Wrong::new("`group` is of no account");
            self.note(at, wrong.help("add user = \"…\", or leave `group` out"));
        }
        if let Some(at) = table.value_at("user")
            && keys.kind == DriverKind::Process
            && keys.has_sockets()
        {
            let wrong = Wrong::new("`user` does not go with Unix sockets");
            let help = "an account that may put a socket into a folder may put a link to another socket there, which the balancer would \
                        follow with its own rights: use `{port}`";
            self.note(at, wrong.help(help));
        }
    }

    /// Notes a range that is too small for those that run beside each other, and one that nobody takes ports from.
    pub(super) fn check_ports(&mut self, table: &Found, service: &ServiceSettings) {
        let DriverChoice::Process { socket, ports, .. } = &service.driver else { return };
        let Some(at) = table.value_at("ports").filter(|_| table.is_sound("ports")) else { return };
        if *socket {
            let wrong = Wrong::new("`ports` does not go with Unix sockets");
            return self.note(at, wrong.help("leave it out, or use `{port}` in `command`"));
        }
        let needed = service.replicas.saturating_add(service.spares).saturating_add(service.rollout.at_once);
        if ports.count() < needed {
            let what =
                format!("`ports` has {} ports, and {needed} replicas may run at a time", ports.count());
            let help = "beside `replicas` and `spares` there are successors in a rollout (`deploy.at_once`)";
            self.note(at, Wrong::new(what).help(help));
        }
    }

    /// Notes placeholders for another way to listen than these replicas have.
    fn refuse_foreign_placeholders(&mut self, table: &Found, keys: &DriverKeys) {
        // Out of place or of a wrong type, the key has been noted, and does not tell what was meant.
        let is_clear = !table.has("socket") || (table.is_sound("socket") && keys.kind == DriverKind::Process);
        let has_sockets = keys.kind == DriverKind::Process && keys.has_sockets();
        let foreign = if has_sockets { "port" } else { "socket" };
        let words = table.parts("command").iter().chain(table.parts("entrypoint"));
        for word in words.filter(|word| is_clear && words::has_placeholder(&word.text, foreign)) {
            let (what, help) = match (keys.kind, keys.socket) {
                (DriverKind::Process, Some(true)) => (
                    "`{port}` in `command` does not go with socket = true",
                    "use `{socket}`, which is the path of the replica's socket, or remove socket = true",
                ),
                (DriverKind::Process, None) => (
                    "`{port}` in `command` does not go with `{socket}`",
                    "a replica listens on one of them: keep `{socket}`, or say socket = false and keep `{port}`",
                ),
                (DriverKind::Process, Some(false)) => {
                    ("`{socket}` in `command` needs socket = true", "remove socket = false, or use `{port}`")
                }
                (DriverKind::Docker, _) => (
                    "`{socket}` in `command` does not go with driver = \"docker\"",
                    "containers listen on a port: use `{port}`",
                ),
                // It has no command, and that has been noted.
                (DriverKind::Static | DriverKind::Files, _) => continue,
            };
            let what = what.replace("`command`", &format!("`{}`", word.key));
            self.note(&word.at, Wrong::new(what).help(help));
        }
    }

    fn require(&mut self, table: &Found, key: &str, example: &str) {
        if let (false, Some(driver)) = (table.has(key), table.text("driver")) {
            let what = format!("driver = \"{}\" needs `{key}`", driver.text);
            self.note(&driver.at, Wrong::new(what).help(format!("for example {example}")));
        }
    }

    fn check_command(&mut self, table: &Found, key: &str) {
        let Some(at) = table.array_at(key) else { return };
        let what = match table.parts(key) {
            [] => Some(format!("`{key}` must name a program")),
            [program, ..] if program.text.is_empty() => Some(format!("`{key}` must begin with a program")),
            words if words.len() > COMMAND_WORDS_MAX => {
                Some(format!("`{key}` must have at most {COMMAND_WORDS_MAX} words"))
            }
            _ => None,
        };
        if let Some(what) = what {
            let help =
                "for example [\"./server\", \"--port\", \"{port}\"]; without it, the default command runs";
            self.note(at, Wrong::new(what).help(help));
        }
    }

    fn check_addresses(&mut self, table: &Found) {
        let Some(at) = table.array_at("addresses") else { return };
        let listed = table.parts("addresses");
        if listed.is_empty() {
            self.note(at, Wrong::new("`addresses` must list at least one address"));
        }
        if listed.len() > REPLICAS_MAX as usize {
            let what = format!("`addresses` must list at most {REPLICAS_MAX} addresses");
            self.note(at, Wrong::new(what));
        }
        let mut earlier = HashSet::new();
        for part in listed.iter().take(REPLICAS_MAX as usize) {
            let Ok(address) = value::replica_address(&part.text) else { continue };
            if !earlier.insert(address.clone()) {
                self.note(&part.at, Wrong::new(format!("`addresses` lists \"{address}\" twice")));
            }
        }
    }
}

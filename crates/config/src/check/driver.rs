//! What depends on a service's driver: its own keys, the keys that it does not have, and where
//! the number of replicas comes from.

use fleet::Address;

use super::Checker;
use crate::file::ServiceTable;
use crate::problem::Wrong;
use crate::settings::{DriverChoice, NETWORK_DEFAULT, REPLICAS_MAX, ServiceSettings};
use crate::value;

/// The container engine takes no less.
const MEMORY_BYTES_MIN: u64 = 6 << 20;
const MEMORY_BYTES_MAX: u64 = 16 << 40;
const CPUS_MIN: f64 = 0.01;
const CPUS_MAX: f64 = 1024.0;
const COMMAND_WORDS_MAX: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Process,
    Docker,
    Static,
}

const KINDS: [(&str, Kind); 3] =
    [("process", Kind::Process), ("docker", Kind::Docker), ("static", Kind::Static)];

const OF_DOCKER: &[Kind] = &[Kind::Docker];
const OF_OWNED: &[Kind] = &[Kind::Process, Kind::Docker];

/// The keys that not every driver has.
const KEYS_OF_DRIVERS: [(&str, &[Kind]); 14] = [
    ("image", OF_DOCKER),
    ("network", OF_DOCKER),
    ("publish", OF_DOCKER),
    ("memory", OF_DOCKER),
    ("cpus", OF_DOCKER),
    ("stop_signal", OF_DOCKER),
    ("socket", &[Kind::Process]),
    ("command", OF_OWNED),
    ("env", OF_OWNED),
    ("server_id", OF_OWNED),
    ("stop_timeout", OF_OWNED),
    ("on_exit", OF_OWNED),
    ("spares", OF_OWNED),
    ("addresses", &[Kind::Static]),
];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Docker => "docker",
            Self::Static => "static",
        }
    }
}

impl Checker<'_, '_> {
    pub(super) fn driver(&mut self, table: &ServiceTable) -> DriverChoice {
        let kind = self.parse(&table.driver, |text| value::choice(text, &KINDS));
        let is_unknown = kind.is_none() && table.keys.contains_key("driver");
        let kind = kind.unwrap_or(Kind::Process);
        // Which keys a driver of an unknown name has is not for us to say.
        if !is_unknown {
            self.refuse_foreign_keys(table, kind);
            self.refuse_foreign_placeholders(table, kind);
        }
        // Read whatever the driver, so that every wrong value is found in one run.
        let command = self.command(table);
        let addresses = self.addresses(table);
        let docker = self.docker(table, command.clone());
        match kind {
            Kind::Process => DriverChoice::Process { command, socket: table.has_sockets() },
            Kind::Docker => {
                self.require(table, "image", "image = \"evenkeel-replica\"");
                docker
            }
            Kind::Static => {
                self.require(table, "addresses", "addresses = [\"127.0.0.1:9001\"]");
                DriverChoice::Static { addresses }
            }
        }
    }

    /// How many replicas to begin with.
    pub(super) fn replicas(&mut self, table: &ServiceTable, driver: &DriverChoice) -> u32 {
        let given = self.whole(&table.replicas, 0..=REPLICAS_MAX);
        let DriverChoice::Static { addresses } = driver else {
            return given.unwrap_or(ServiceSettings::named("").replicas);
        };
        // Counted in the file: a wrong address is a problem of its own, and not a missing one.
        let listed = table.addresses.as_ref().map_or(0, |given| given.value.len());
        if let (Some(replicas), Some(given), true) = (given, &table.replicas, listed > 0)
            && replicas as usize != listed
        {
            let what = format!("`replicas` is {replicas}, but `addresses` lists {listed}");
            self.note(&given.at, Wrong::new(what).help("remove `replicas`; the addresses are counted"));
        }
        u32::try_from(addresses.len()).unwrap_or(u32::MAX)
    }

    fn refuse_foreign_keys(&mut self, table: &ServiceTable, kind: Kind) {
        for (key, owners) in KEYS_OF_DRIVERS {
            let Some(at) = table.keys.get(key).filter(|_| !owners.contains(&kind)) else { continue };
            let owners: Vec<&str> = owners.iter().map(|owner| owner.name()).collect();
            let is_default = table.driver.is_none();
            self.refuse_foreign_key((key, at), ("driver", &owners), (kind.name(), is_default));
        }
    }

    /// Notes placeholders for another way to listen than these replicas have.
    fn refuse_foreign_placeholders(&mut self, table: &ServiceTable, kind: Kind) {
        // Out of place or of a wrong type, the key has been noted, and does not tell what was meant.
        let is_clear =
            !table.keys.contains_key("socket") || (table.socket.is_some() && kind == Kind::Process);
        let foreign = if table.has_sockets() { "{port}" } else { "{socket}" };
        let words = table.command.iter().flat_map(|given| &given.value);
        for word in words.filter(|word| is_clear && word.value.contains(foreign)) {
            let (what, help) = match (kind, table.has_sockets()) {
                (Kind::Process, true) => (
                    "`{port}` in `command` does not go with socket = true",
                    "use `{socket}`, which is the path of the replica's socket, or remove socket = true",
                ),
                (Kind::Process, false) => {
                    ("`{socket}` in `command` needs socket = true", "add socket = true, or use `{port}`")
                }
                (Kind::Docker, _) => (
                    "`{socket}` in `command` does not go with driver = \"docker\"",
                    "containers listen on a port: use `{port}`",
                ),
                // It has no command, and that has been noted.
                (Kind::Static, _) => continue,
            };
            self.note(&word.at, Wrong::new(what).help(help));
        }
    }

    fn require(&mut self, table: &ServiceTable, key: &str, example: &str) {
        if let (None, Some(driver)) = (table.keys.get(key), &table.driver) {
            let what = format!("driver = \"{}\" needs `{key}`", driver.value);
            self.note(&driver.at, Wrong::new(what).help(format!("for example {example}")));
        }
    }

    fn docker(&mut self, table: &ServiceTable, command: Option<Vec<String>>) -> DriverChoice {
        DriverChoice::Docker {
            image: self.parse(&table.image, value::image).unwrap_or_default(),
            command,
            network: self.parse(&table.network, value::network).unwrap_or_else(|| NETWORK_DEFAULT.to_owned()),
            publish: table.publish.as_ref().is_some_and(|given| given.value),
            memory: self.size(&table.memory, MEMORY_BYTES_MIN..=MEMORY_BYTES_MAX),
            cpus: self.cpus(table),
        }
    }

    fn cpus(&mut self, table: &ServiceTable) -> Option<f64> {
        let given = table.cpus.as_ref()?;
        if !(CPUS_MIN..=CPUS_MAX).contains(&given.value) {
            let what = format!("`cpus` must be from {CPUS_MIN} to {CPUS_MAX}, not {}", given.value);
            self.note(&given.at, Wrong::new(what));
        }
        Some(given.value)
    }

    fn command(&mut self, table: &ServiceTable) -> Option<Vec<String>> {
        let given = table.command.as_ref()?;
        let what = match given.value.as_slice() {
            [] => Some("`command` must name a program".to_owned()),
            [program, ..] if program.value.is_empty() => {
                Some("`command` must begin with a program".to_owned())
            }
            words if words.len() > COMMAND_WORDS_MAX => {
                Some(format!("`command` must have at most {COMMAND_WORDS_MAX} words"))
            }
            _ => None,
        };
        if let Some(what) = what {
            let help =
                "for example [\"./server\", \"--port\", \"{port}\"]; without it, the default command runs";
            self.note(&given.at, Wrong::new(what).help(help));
        }
        let words = given.value.iter().filter_map(|word| self.parse_given(word, value::command_word));
        Some(words.collect())
    }

    fn addresses(&mut self, table: &ServiceTable) -> Vec<Address> {
        let Some(given) = &table.addresses else { return Vec::new() };
        if given.value.is_empty() {
            self.note(&given.at, Wrong::new("`addresses` must list at least one address"));
        }
        let mut addresses = Vec::new();
        if given.value.len() > REPLICAS_MAX as usize {
            let what = format!("`addresses` must list at most {REPLICAS_MAX} addresses");
            self.note(&given.at, Wrong::new(what));
        }
        for element in given.value.iter().take(REPLICAS_MAX as usize) {
            let Some(address) = self.parse_given(element, value::replica_address) else { continue };
            if addresses.contains(&address) {
                let what = format!("`addresses` lists \"{address}\" twice");
                self.note(&element.at, Wrong::new(what));
            }
            addresses.push(address);
        }
        addresses
    }
}

//! The keys about whoever runs and changes the balancer: where the admin API is and whom it answers, and
//! whom the contract's endpoints are for.

use std::path::PathBuf;

use fleet::Address;

use crate::form::{Flag, List, Maybe, Text};
use crate::keys::{Key, Keys, Told};
use crate::source::ContractSource;
use crate::{value, web};

const HOSTS_MAX: usize = 64;
const SOURCES_MAX: usize = 1000;

/// What is decided of the admin API.
pub(super) struct Admin<'s> {
    pub(super) address: &'s mut Address,
    pub(super) hosts: &'s mut Vec<String>,
    pub(super) token: &'s mut Option<PathBuf>,
    pub(super) view_token: &'s mut Option<PathBuf>,
}

/// What is decided of the contract.
pub(super) struct Contract<'s> {
    pub(super) is_on: &'s mut bool,
    pub(super) from: &'s mut Vec<ContractSource>,
}

/// The keys of the admin API.
pub(super) fn admin(keys: &mut impl Keys, it: &mut Admin<'_>) {
    let admin = Text::of("address or socket", value::admin_address);
    keys.key(Key::new("admin", admin, "where the admin API is served"), it.address);
    let example = "admin_hosts = [\"balancer.example.org\"]";
    let each = Text::of("string", web::host_name);
    keys.key(
        Key::new(
            "admin_hosts",
            List { each, example, most: Some(HOSTS_MAX) },
            "names that the admin API may be called by (`Host`) beside `localhost` and addresses",
        ),
        it.hosts,
    );
    keys.key(
        Key::new(
            "admin_token",
            Maybe(Text::path(value::file)),
            "the file with the token that the admin API asks for on TCP; made if it is not there",
        )
        .default(Told::Instead("`admin.token` in the account's state folder"))
        .limits(Told::Instead("ours, readable by nobody else")),
        it.token,
    );
    keys.key(
        Key::new(
            "admin_view_token",
            Maybe(Text::path(value::file)),
            "a file with a token that may look and change nothing, for Prometheus; made if it is not there",
        )
        .limits(Told::Instead("ours, readable by nobody else")),
        it.view_token,
    );
}

/// The keys of the contract.
pub(super) fn contract(keys: &mut impl Keys, it: &mut Contract<'_>) {
    let says = "whether the first service answers `/rep`, `/get`, `/add` and `/rm` on the listener";
    keys.key(Key::new("contract", Flag, says), it.is_on);
    let example = "contract_from = [\"127.0.0.0/8\", \"10.1.0.0/16\"]";
    let each = Text::of("string", value::contract_source);
    keys.key(
        Key::new(
            "contract_from",
            List { each, example, most: Some(SOURCES_MAX) },
            "who may use them: IP addresses, ranges, and `\"gateway\"`, where a container is reached from its host",
        ),
        it.from,
    );
}

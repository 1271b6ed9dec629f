//! The password files that a configuration names: whether they can be used, and what is to be said of them. They are
//! read again, and followed, where requests are let in.

use std::collections::BTreeSet;
use std::path::Path;

use config::Settings;
use fleet::in_full;

/// All of them, each once.
pub(crate) fn files(settings: &Settings) -> BTreeSet<&Path> {
    let protections = settings.services.iter().flat_map(|service| {
        let of_paths = service.policies.locations.iter().map(|location| &location.protection);
        [&service.policies.protection].into_iter().chain(of_paths)
    });
    protections.filter_map(|one| Some(one.basic_auth.as_ref()?.file.as_path())).collect()
}

/// Refuses those that cannot be used. The error says all that is wrong, a line for each file.
pub(crate) fn check(settings: &Settings) -> Result<(), String> {
    let wrong = files(settings).into_iter().filter_map(|file| proxy::check_password_file(file).err());
    let wrong: Vec<String> = wrong.map(|error| format!("error: {}", in_full(&error))).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// What works and is still not as it should be.
pub(crate) fn warnings(settings: &Settings) -> Vec<String> {
    files(settings)
        .into_iter()
        .flat_map(|file| proxy::check_password_file(file).unwrap_or_default())
        .collect()
}

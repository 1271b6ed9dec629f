//! The folders that services answer from, before anybody asks for a file: whether they are there, and whether this
//! system can keep requests inside of them.

use config::{DriverChoice, Settings};

/// Looks at all of them. The error says what is wrong, a line each.
pub(crate) fn check(settings: &Settings) -> Result<(), String> {
    let mut wrong = Vec::new();
    for service in &settings.services {
        let DriverChoice::Files { folder } = &service.driver else { continue };
        if let Err(error) = proxy::check_folder(&folder.root) {
            let root = folder.root.display();
            wrong.push(format!("error: service '{}': root {root} cannot be served: {error}", service.name));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

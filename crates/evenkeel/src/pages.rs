//! The files of pages that stand for errors: read at the start, and refused where they cannot be.

use std::sync::Arc;

use config::{ListenerSettings, ServiceSettings, Settings};
use fleet::in_full;
use proxy::Pages;

/// Reads those of all services. The error says all that is wrong, a line each.
pub(crate) fn check(settings: &Settings) -> Result<(), String> {
    let wrong = settings.services.iter().filter_map(|service| of_service(service).err());
    let wrong: Vec<String> = wrong.map(|text| format!("error: {text}")).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// Those of a service, if it has any.
pub(crate) fn of_service(service: &ServiceSettings) -> Result<Option<Arc<Pages>>, String> {
    let Some(pages) = &service.policies.error_pages else { return Ok(None) };
    pages.load().map_err(|error| format!("service '{}': {}", service.name, in_full(&error)))
}

/// Those of a listener, if it has any.
pub(crate) fn of_listener(listener: &ListenerSettings) -> Result<Option<Arc<Pages>>, String> {
    let Some(pages) = &listener.error_pages else { return Ok(None) };
    pages.load().map_err(|error| format!("listener {}: {}", listener.address, in_full(&error)))
}

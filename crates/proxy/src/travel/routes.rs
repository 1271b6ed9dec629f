//! From a request to the service that it is for: by host, then by the longest path prefix.

use h1::RequestHead;

use crate::settings::ServiceSettings;
use crate::worker::Service;

/// The service that a request is for.
pub(crate) fn find<'a>(services: &'a [Service], head: &RequestHead) -> Option<&'a Service> {
    let host = head.host().map(name_of).unwrap_or_default();
    // `OPTIONS *` is about the server as a whole.
    let path = if head.path() == b"*" { b"/" } else { head.path() };
    let matching = services.iter().filter(|service| matches(&service.settings, host, path));
    // The more of the host is spelled out the better, then the longer the path.
    matching.max_by_key(|service| (host_rank(&service.settings.host), service.settings.path.len()))
}

fn matches(service: &ServiceSettings, host: &[u8], path: &[u8]) -> bool {
    let host_matches = match service.host.strip_prefix('*') {
        Some("") => true,
        Some(rest) => {
            let start = host.len().saturating_sub(rest.len());
            start > 0 && host[start..].eq_ignore_ascii_case(rest.as_bytes())
        }
        None => host.eq_ignore_ascii_case(service.host.as_bytes()),
    };
    // A prefix ends at a slash: /api is for /api and /api/x, not for /apis.
    let rest = path.strip_prefix(service.path.trim_end_matches('/').as_bytes());
    host_matches && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn host_rank(host: &str) -> (bool, usize) {
    (!host.starts_with('*'), host.len())
}

/// A host without its port, and without the dot that an absolute name may end with.
fn name_of(host: &[u8]) -> &[u8] {
    let end_of_address = host.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    let colon = host[end_of_address..].iter().position(|byte| *byte == b':');
    let name = colon.map_or(host, |colon| &host[..end_of_address + colon]);
    name.strip_suffix(b".").unwrap_or(name)
}

//! The limits that more than one place asks about. Those of single keys stand with their keys.

use std::time::Duration;

/// The most worker threads.
pub(crate) const WORKERS_MAX: u32 = 256;
/// The most services of one balancer.
pub(crate) const SERVICES_MAX: usize = 64;
/// The most further listeners.
pub(crate) const LISTENERS_MAX: usize = 64;
/// The most redirects.
pub(crate) const REDIRECTS_MAX: usize = 1000;
/// The most pairs of a host and a path of all services and redirects.
pub(crate) const ROUTES_MAX: usize = 20_000;
/// The most locations of one service.
pub(crate) const LOCATIONS_MAX: usize = 64;
/// The most certificates of one listener.
pub(crate) const CERTIFICATES_MAX: usize = 1000;
/// The most connections of clients that anybody may ask for.
pub const CONNECTIONS_MAX: u32 = 1_000_000;
/// The highest value that `max_replicas` may have.
pub(crate) const REPLICAS_MAX: u32 = 10_000;
// Spares begin in seats that no replica of a fleet can have.
const _: () = assert!(REPLICAS_MAX < fleet::SPARE_SEAT_MIN);
/// The most spares of one service.
pub(crate) const SPARES_MAX: u32 = 100;
/// The most requests of a service at a time that anybody may set a limit at.
pub(crate) const REQUESTS_MAX: u32 = 1_000_000;
/// The most requests of a service that may wait.
pub(crate) const QUEUE_MAX: u32 = 100_000;
/// The most times that a request may be sent again that a replica had when it failed.
pub(crate) const RETRIES_MAX: u32 = 10;
/// For whatever is waited for: longer than this is as good as for ever.
pub(crate) const WAIT_MAX: Duration = Duration::from_hours(24);

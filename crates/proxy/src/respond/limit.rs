//! The limits that a request can meet, by name: what the log, the metrics and `explain` call them.

/// A limit, as the configuration names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Of all requests under way.
    Requests,
    /// Of those of a service.
    ServiceRequests,
    /// Of those in a replica.
    ReplicaRequests,
    /// Of connections to replicas: what the open descriptors carry.
    ReplicaConnections,
}

impl Limit {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] =
        [Self::Requests, Self::ServiceRequests, Self::ReplicaRequests, Self::ReplicaConnections];

    /// As people and programs know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "limits.requests",
            Self::ServiceRequests => "service.limits.requests",
            Self::ReplicaRequests => "service.limits.requests_per_replica",
            Self::ReplicaConnections => "descriptors",
        }
    }
}

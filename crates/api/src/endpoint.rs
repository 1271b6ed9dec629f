//! What there is to say of one endpoint: how it is asked, by whom, and with what.

/// An endpoint of the admin API, described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How it is asked.
    pub method: Method,
    /// Its path, in which `{service}` stands for the name of a service, and `{replica}` for that of a replica.
    pub path: &'static str,
    /// What whoever asks has to be.
    pub role: Role,
    /// The body of a request.
    pub takes: Body,
    /// A body that it takes, as JSON; empty if it takes none.
    pub example: &'static str,
    /// The body of a response that is no problem.
    pub gives: Body,
    /// What it does, for people.
    pub says: &'static str,
}

impl Endpoint {
    /// One that takes nothing and gives nothing.
    pub(crate) fn new(method: Method, path: &'static str, role: Role) -> Self {
        let (takes, gives) = (Body::Nothing, Body::Nothing);
        Self { method, path, role, takes, example: "", gives, says: "" }
    }

    /// With a body in requests, for example this one.
    pub(crate) fn takes(self, takes: Body, example: &'static str) -> Self {
        Self { takes, example, ..self }
    }

    /// With a body in responses, and what it does.
    pub(crate) fn gives(self, gives: Body, says: &'static str) -> Self {
        Self { gives, says, ..self }
    }
}

/// A method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the methods are those of RFC 9110")]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    /// As it stands in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// What somebody may do; each may also do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    View,
    /// Change how many replicas there are.
    Scale,
    /// Change what runs, and hold requests back.
    Admin,
}

impl Role {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Scale => "scale",
            Self::Admin => "admin",
        }
    }
}

/// What a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing that anybody reads.
    Nothing,
    /// A line of text.
    Text,
    /// A page of metrics, as OpenMetrics text.
    Metrics,
    /// A [`ServiceShape`](crate::ServiceShape).
    Service,
    /// A list of [`ServiceShape`](crate::ServiceShape)s.
    Services,
    /// A list of [`ReplicaShape`](crate::ReplicaShape)s.
    Replicas,
    /// An [`OutputShape`](crate::OutputShape) a line, as long as there are any.
    Output,
    /// A list of [`EventShape`](crate::EventShape)s.
    Events,
    /// An [`EditShape`](crate::EditShape).
    Edit,
    /// A [`ScaleShape`](crate::ScaleShape).
    Scale,
    /// An [`ExplainShape`](crate::ExplainShape).
    Explain,
    /// An [`ExplanationShape`](crate::ExplanationShape).
    Explanation,
    /// A [`DeployShape`](crate::DeployShape).
    Deploy,
    /// A [`DeployedShape`](crate::DeployedShape).
    Deployed,
    /// A [`PauseShape`](crate::PauseShape).
    Pause,
}

//! How the admin API says no: a problem as of RFC 9457, for the server that writes it and clients that read it.

use serde::{Deserialize, Serialize};

/// Why a request was not done. As JSON, its fields are in the order of the alphabet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong, in words for whoever asked.
    pub detail: String,
    /// The status of the response.
    #[serde(default)]
    pub status: u16,
    /// What that status is called.
    #[serde(default)]
    pub title: String,
}

impl Problem {
    /// The media type of a problem.
    pub const MEDIA_TYPE: &str = "application/problem+json";
}

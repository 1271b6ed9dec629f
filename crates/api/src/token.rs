//! Where a balancer keeps the token of its admin API, and commands of the same account look for it.

/// The name of the file, in the state folder of the account.
pub const TOKEN_FILE: &str = "admin.token";

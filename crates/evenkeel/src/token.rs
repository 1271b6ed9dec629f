//! The tokens of the admin API: where they are kept, and that they are there.

use std::path::{Path, PathBuf};

use admin::Access;
use api::TOKEN_FILE;
use config::Settings;
use files::{Secret, ensure_own_folder, read_or_create_secret, state_folder};
use fleet::{Address, in_full};

/// Whom the admin API answers, and in which file the token for everything is.
pub(crate) struct Tokens {
    pub(crate) access: Access,
    pub(crate) file: Option<PathBuf>,
}

/// Reads or makes the tokens that the admin API on TCP goes by. One that the operator has chosen a place for
/// must be had; without the other one, nobody is answered, and the log says why.
pub(crate) fn tokens(settings: &Settings) -> Result<Tokens, String> {
    let mut access = Access { hosts: settings.admin_hosts.clone(), ..Access::default() };
    if matches!(settings.admin, Address::Unix(_)) {
        return Ok(Tokens { access, file: None });
    }
    let chosen = |key: &str, path: &Path| {
        let secret = read_or_create_secret(path);
        secret.map_err(|error| format!("cannot have the token of {key}: {}", in_full(&error)))
    };
    if let Some(path) = &settings.admin_view_token {
        access.view_token = Some(chosen("admin_view_token", path)?);
    }
    if let Some(path) = &settings.admin_token {
        access.token = Some(chosen("admin_token", path)?);
        return Ok(Tokens { access, file: Some(path.clone()) });
    }
    match own() {
        Ok((token, path)) => {
            access.token = Some(token);
            Ok(Tokens { access, file: Some(path) })
        }
        Err(reason) => {
            tracing::warn!(
                "the admin API answers nobody: no token can be kept: {reason}; choose a file with --token-file \
                 or admin_token, or a socket with --admin unix:/path"
            );
            Ok(Tokens { access, file: None })
        }
    }
}

/// The one that this account's commands find by themselves.
fn own() -> Result<(Secret, PathBuf), String> {
    let folder = state_folder().map_err(|error| error.to_string())?;
    ensure_own_folder(&folder).map_err(|error| in_full(&error))?;
    let path = folder.join(TOKEN_FILE);
    let token = read_or_create_secret(&path).map_err(|error| in_full(&error))?;
    Ok((token, path))
}

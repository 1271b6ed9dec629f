//! What the operator has chosen: a flag beats its environment variable, that beats the file, and the file
//! beats the default.

use std::path::PathBuf;

use config::{ConfigError, Settings};

use crate::Stopped;
use crate::cli::{DemoDriver, UpOptions};

/// Why there are no settings.
#[derive(Debug)]
pub(crate) enum Refused {
    /// What the file says.
    File(PathBuf, ConfigError),
    /// What was typed, or what it makes of the file.
    Typed(String),
}

impl Refused {
    /// For a caller who is not at this machine, and may not see what stands in the file.
    pub(crate) fn without_values(&self) -> String {
        match self {
            Self::File(path, error) => {
                let (told, path) = (error.without_values(), path.display());
                format!(
                    "{told}; on the balancer's machine `evenkeel validate --config {path}` shows the lines"
                )
            }
            Self::Typed(text) => text.clone(),
        }
    }
}

impl From<Refused> for Stopped {
    fn from(refused: Refused) -> Self {
        Self::BadConfiguration(match refused {
            Refused::File(_, error) => error.to_string(),
            Refused::Typed(text) => format!("error: {text}"),
        })
    }
}

/// Reads them. Fails with everything that is wrong.
pub(crate) fn chosen(options: &UpOptions) -> Result<Settings, Refused> {
    let bad = Refused::Typed;
    let mut settings = match &options.config {
        Some(path) => config::read(path).map_err(|error| Refused::File(path.clone(), error))?,
        None => Settings::demo(),
    };
    if let Some(listen) = options.listen {
        settings.listen = Some(listen);
    }
    if let Some(admin) = &options.admin {
        settings.admin =
            config::admin_address(admin).map_err(|error| bad(format!("--admin {admin}: {error}")))?;
    }
    if let Some(path) = &options.token_file {
        settings.admin_token = Some(path.clone());
    }
    if options.driver == Some(DemoDriver::Docker) {
        settings.use_docker_for_demo();
    }
    if let Some(replicas) = options.replicas {
        settings
            .override_replicas(replicas)
            .map_err(|error| bad(format!("--replicas {replicas}: {error}")))?;
    }
    settings.check_addresses().map_err(bad)?;
    Ok(settings)
}

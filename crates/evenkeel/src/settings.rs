//! What the operator has chosen: a flag beats its environment variable, that beats the file, and the file
//! beats the default.

use config::Settings;

use crate::Stopped;
use crate::cli::{DemoDriver, UpOptions};

/// Reads them. Fails with everything that is wrong.
pub(crate) fn chosen(options: &UpOptions) -> Result<Settings, Stopped> {
    let bad = Stopped::BadConfiguration;
    let mut settings = match &options.config {
        Some(path) => config::read(path).map_err(|error| bad(error.to_string()))?,
        None => Settings::demo(),
    };
    if let Some(listen) = options.listen {
        settings.listen = Some(listen);
    }
    if let Some(admin) = &options.admin {
        settings.admin =
            config::admin_address(admin).map_err(|error| bad(format!("error: --admin {admin}: {error}")))?;
    }
    if options.driver == Some(DemoDriver::Docker) {
        settings.use_docker_for_demo();
    }
    if let Some(replicas) = options.replicas {
        settings
            .override_replicas(replicas)
            .map_err(|error| bad(format!("error: --replicas {replicas}: {error}")))?;
    }
    settings.check_addresses().map_err(|text| bad(format!("error: {text}")))?;
    Ok(settings)
}

//! Paths that a file names, and where they begin: at its folder, wherever the balancer was started.

use std::path::{Path, PathBuf};

use proxy::{AccessLogDestination, Policies};

use super::Settings;

impl Settings {
    /// Takes relative paths of files to begin at this folder.
    pub fn in_folder(mut self, folder: &Path) -> Self {
        let settle = |path: &mut PathBuf| *path = folder.join(&*path);
        self.state_dir.iter_mut().for_each(settle);
        self.admin_token.iter_mut().chain(&mut self.admin_view_token).for_each(settle);
        if let Some(AccessLogDestination::File(path)) =
            self.access_log.as_mut().map(|log| &mut log.destination)
        {
            settle(path);
        }
        for listener in &mut self.listeners {
            let pages = listener.error_pages.iter_mut().flat_map(|pages| pages.files.values_mut());
            pages.for_each(settle);
        }
        for tls in self.listeners.iter_mut().filter_map(|listener| listener.tls.as_mut()) {
            tls.client_authority.iter_mut().for_each(settle);
            for files in &mut tls.certificates {
                settle(&mut files.certificate);
                settle(&mut files.key);
            }
        }
        for service in &mut self.services {
            service.env_files.iter_mut().for_each(settle);
            service.driver.in_folder(folder);
            let Policies { protection, locations, error_pages, .. } = &mut service.policies;
            let of_paths = locations.iter_mut().map(|location| &mut location.protection);
            let pages = error_pages.iter_mut().flat_map(|pages| pages.files.values_mut());
            pages.for_each(settle);
            for auth in [protection].into_iter().chain(of_paths).filter_map(|one| one.basic_auth.as_mut()) {
                settle(&mut auth.file);
            }
        }
        self
    }
}

//! Where clients are listened for: which two addresses would be in each other's way, and where the
//! files that are named are. Nothing is bound and no file is opened here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use proxy::{AccessLogDestination, TlsSettings};

use super::{AdminAddress, Settings};

/// An address that clients connect to, and how they speak there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Where; port 0 is any that is free.
    pub address: SocketAddr,
    /// Whether every connection begins with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// With TLS, by these files.
    pub tls: Option<TlsSettings>,
}

/// A TCP address that is listened on, and the key that it stands under in a file.
pub(crate) type Place = (&'static str, SocketAddr);

impl Settings {
    /// Every listener, `listen` first.
    pub fn all_listeners(&self) -> Vec<ListenerSettings> {
        let plain = |address| ListenerSettings { address, proxy_protocol: false, tls: None };
        self.listen.map(plain).into_iter().chain(self.listeners.iter().cloned()).collect()
    }

    /// Refuses listeners and an admin API that would be in each other's way.
    pub fn check_addresses(&self) -> Result<(), String> {
        let listen = self.listen.map(|address| ("listen", address));
        let admin = match self.admin {
            AdminAddress::Tcp(address) => Some(("admin", address)),
            AdminAddress::Unix(_) => None,
        };
        let others = self.listeners.iter().map(|listener| ("address", listener.address));
        let places: Vec<Place> = listen.into_iter().chain(admin).chain(others).collect();
        clashes(&places).into_iter().next().map_or(Ok(()), |(_, _, what)| Err(what))
    }

    /// Takes relative paths of files to begin at this folder.
    pub fn in_folder(mut self, folder: &Path) -> Self {
        let settle = |path: &mut PathBuf| *path = folder.join(&*path);
        self.state_dir.iter_mut().for_each(settle);
        if let Some(AccessLogDestination::File(path)) =
            self.access_log.as_mut().map(|log| &mut log.destination)
        {
            settle(path);
        }
        for tls in self.listeners.iter_mut().filter_map(|listener| listener.tls.as_mut()) {
            tls.client_authority.iter_mut().for_each(settle);
            for files in &mut tls.certificates {
                settle(&mut files.certificate);
                settle(&mut files.key);
            }
        }
        self
    }
}

/// The places, by their indices, that cannot have what an earlier one has, and what to say of it.
pub(crate) fn clashes(places: &[Place]) -> Vec<(usize, usize, String)> {
    let clash = |later: usize| {
        let (key, address) = places[later];
        let earlier = places[..later].iter().position(|(_, other)| is_same(*other, address))?;
        let (other_key, other) = places[earlier];
        Some((
            earlier,
            later,
            format!("`{other_key}`, \"{other}\", and `{key}`, \"{address}\", are the same"),
        ))
    };
    (1..places.len()).filter_map(clash).collect()
}

/// Port 0 means any that is free.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let is_everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && (one.ip() == other.ip() || is_everywhere)
}

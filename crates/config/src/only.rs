//! The drivers and algorithms by their names, and which keys only some of them have.

/// The services that have a key: those with one of these drivers, or with one of these algorithms.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Only {
    Drivers(&'static [DriverKind]),
    Algorithms(&'static [AlgorithmKind]),
}

/// Keys of services whose replicas we start.
pub(crate) const OF_OWNED: Only = Only::Drivers(&[DriverKind::Process, DriverKind::Docker]);
/// Keys of services that run as containers.
pub(crate) const OF_DOCKER: Only = Only::Drivers(&[DriverKind::Docker]);
/// Keys of services that run as child processes.
pub(crate) const OF_PROCESS: Only = Only::Drivers(&[DriverKind::Process]);
/// Keys of services that somebody else runs.
pub(crate) const OF_STATIC: Only = Only::Drivers(&[DriverKind::Static]);

/// Keys of services that answer with files.
pub(crate) const OF_FILES: Only = Only::Drivers(&[DriverKind::Files]);

/// A driver by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DriverKind {
    #[default]
    Process,
    Docker,
    Static,
    Files,
}

/// An algorithm by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AlgorithmKind {
    #[default]
    Rendezvous,
    Classic,
    Ring,
    Maglev,
}

impl DriverKind {
    pub(crate) const ALL: [Self; 4] = [Self::Process, Self::Docker, Self::Static, Self::Files];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Docker => "docker",
            Self::Static => "static",
            Self::Files => "files",
        }
    }
}

impl AlgorithmKind {
    pub(crate) const ALL: [Self; 4] = [Self::Rendezvous, Self::Classic, Self::Ring, Self::Maglev];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rendezvous => "rendezvous",
            Self::Classic => "classic",
            Self::Ring => "ring",
            Self::Maglev => "maglev",
        }
    }
}

impl Only {
    /// The key whose value decides.
    pub(crate) fn chosen_by(self) -> &'static str {
        match self {
            Self::Drivers(_) => "driver",
            Self::Algorithms(_) => "algorithm",
        }
    }

    /// The value that it has unless it is given.
    pub(crate) fn default_choice(self) -> &'static str {
        match self {
            Self::Drivers(_) => DriverKind::default().name(),
            Self::Algorithms(_) => AlgorithmKind::default().name(),
        }
    }

    /// The values that have the key.
    pub(crate) fn owners(self) -> Vec<&'static str> {
        match self {
            Self::Drivers(kinds) => kinds.iter().map(|kind| kind.name()).collect(),
            Self::Algorithms(kinds) => kinds.iter().map(|kind| kind.name()).collect(),
        }
    }
}

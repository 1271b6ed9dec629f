//! How replicas are started, stopped and listed: as processes, as containers, or not at all.
//!
//! A driver carries out what it is told and reports what it sees. It decides nothing, and it
//! touches only what it can prove to have started.
//!
//! # Choices
//!
//! - **The tether**: a child process is started through `evenkeel tether`, which asks the kernel to kill it
//!   when the balancer ends, and then becomes the command. The same could be done before `exec` in the
//!   child, but only with `unsafe` code.
//! - **Processes are begun on a thread of their own**: to begin one takes milliseconds, in which the
//!   reconciler would decide nothing, and the tether is to a thread.
//! - **The keeper**: a process that is to outlive the balancer is started through `evenkeel keep`, which
//!   writes down who it is, says so, and runs the command only when the balancer answers. So a balancer that
//!   dies at any moment leaves either a record or nothing. Processes are known again by process id, start
//!   time and boot, and held by a pidfd before they are looked at.
//! - **The token**: every process of a replica carries one in its environment, with a hash by a key of our
//!   account. So what goes to the background, or changes its account, is found where the kernel has forgotten
//!   whose it is, and is ended with its replica, or by the next balancer. Who writes over its own environment
//!   is not found. Each replica has a session of its own: in one whose leader carries no token, an
//!   operator's shell, processes have only inherited the variable.
//! - **Another account is taken before the tether runs**, not by it: a change of account makes the kernel forget
//!   whom a process is to end with. Groups beside its own are dropped. New privileges (`setuid` programs)
//!   are forbidden by the tether, unless the operator allows them.
//! - **Processes with an account of their own have no sockets**: whoever may put a socket into a folder may put a
//!   link to another one there, and the balancer would follow it with its own rights.
//! - **A port is the replica's if its listener is**: what answers a heartbeat may be anybody who took the
//!   port first, so all sockets that listen there must be held by processes of the replica's group or by its
//!   descendants; not of its session or control group, because a daemon that leaves the group does not end
//!   with the replica. While it lives a second socket of ours is bound to the port, so that nobody takes it in
//!   the moment of its death. Where `/proc` does not tell who listens, no port is used at all; where only
//!   the descriptors of a replica are hidden (it has more rights than we), its account decides.
//! - **An engine that is away is waited for**: it is asked once a second, what was begun is begun again when
//!   it is back, and everything is listed then. Deaths are seen through the kernel meanwhile.
//! - **Sockets of replicas** are in a folder with a name drawn anew each time, in the run folder of
//!   our account, because one balancer must not take the other's. It is locked while its balancer lives; so the next one
//!   knows what a killed one left, and removes nothing else.
//! - **What replicas write is read on a thread of its own**, 1000 lines and 1 MiB a second of each stream; the
//!   rest is counted, and whoever writes more than that is read in turns. So it costs neither the reconciler's time
//!   nor a core, and a replica that waits for its log is one that writes too much.
//! - **Whoever follows an output is never waited for**: 1024 lines are held for him, and then the oldest go. It is
//!   of one life, and ends with that; who has the seat next is somebody else.
//! - **Docker**: the client library leaves the API version out of its requests, so the driver negotiates and
//!   writes it itself. Exits are seen through a pidfd on the container's process where that is visible
//!   (milliseconds), and through the engine's events everywhere (some fifty milliseconds).

mod error;
mod words;
mod order;
mod differences;
mod recipe;
mod releases;
mod recognition;
mod whereabouts;

mod driver;

mod environment;
mod keyed;
mod known_releases;

mod abort_on_drop;
mod last_lines;
mod following;
mod lines;

mod docker;
mod process;
mod scripted;
mod stationary;

pub use docker::{
    Contents, Device, DockerDriver, DockerRecipe, DockerRecords, DockerSettings, EndedContainers, Fittings,
    Gpus, Pull, Source, Tmpfs, Ulimit, Volume, end_orphaned_containers, remove_unused_networks,
};
pub use driver::{Driver, EVENTS_CAPACITY, EventSender};
pub use environment::{ReplicaEnvironment, ServerId};
pub use error::{DriverError, NameOfAnother};
pub use following::{Extent, Following, Written};
pub use order::StartOrder;
pub use process::{
    Account, KeepSettings, LifeMark, ListenedBy, PortRange, ProcessDriver, ProcessRecipe, ProcessSettings,
    end_orphaned, end_unknown, keep,
};
pub use recipe::Recipe;
pub use recognition::Recognition;
pub use releases::{Releases, Spec};
pub use scripted::{Script, ScriptedDriver};
pub use stationary::StaticDriver;
pub use whereabouts::Whereabouts;
pub use words::{WordPart, word_parts};

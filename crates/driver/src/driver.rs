//! The one interface over all the ways in which a replica can run.

use fleet::{Address, Event, Found, Life, ReplicaName, StopHow};
use futures_util::future::{BoxFuture, FutureExt, ready};
use tokio::sync::mpsc;

use crate::{DriverError, Extent, Following, NameOfAnother, Recognition, Releases, StartOrder, Whereabouts};

/// Room for events on their way to the reconciler. When it is full the sender waits: the facts
/// here are few, and each is needed.
pub const EVENTS_CAPACITY: usize = 1024;

/// Where a driver reports what it sees.
pub type EventSender = mpsc::Sender<Event>;

/// Starts, stops and lists the replicas of one service. Exits and freezes are reported as events,
/// through the [`EventSender`] that the driver was made with. Dropping a future that a method
/// returned leaves the work half done; call `stop` to tidy up.
///
/// ```
/// use driver::{Driver, ScriptedDriver, StartOrder};
/// use fleet::{Life, Release, ReplicaName, StopHow};
/// use placement::Seat;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let scripted = ScriptedDriver::new("127.0.0.1:9001".parse().unwrap());
/// let driver: &dyn Driver = &scripted;
/// driver.prepare().await?;
/// let life = Life { seat: Seat::at_index(0), incarnation: 1 };
/// let name = ReplicaName::parse("server_1").unwrap();
/// let address = driver.start(StartOrder { life, name, release: Release::default() }).await?;
/// assert_eq!(address.to_string(), "127.0.0.1:9001");
/// driver.stop(life, StopHow::Graceful).await?;
/// assert_eq!(scripted.script().orders, ["start 1.1 server_1", "stop 1.1"]);
/// # Ok::<(), driver::DriverError>(())
/// # }).unwrap();
/// ```
pub trait Driver: Releases {
    /// Checks, before anything is started, that starting can work: the engine answers, the image
    /// or the program exists. Creates what replicas share, such as their network.
    fn prepare(&self) -> BoxFuture<'_, Result<(), DriverError>>;

    /// Starts a replica and returns where it will listen. It need not listen yet. On failure
    /// nothing that was started is left running.
    fn start(&self, order: StartOrder) -> BoxFuture<'_, Result<Address, DriverError>>;

    /// Makes sure that nothing of a life is left: stops it, and removes what remains. A life that
    /// is gone already is no error.
    fn stop(&self, life: Life, how: StopHow) -> BoxFuture<'_, Result<(), DriverError>>;

    /// Whether a replica is frozen: paused, or stopped by a signal.
    fn is_frozen(&self, life: Life) -> BoxFuture<'_, Result<bool, DriverError>>;

    /// Whether whoever answers at a replica's address is that replica. Asked before its first heartbeat
    /// counts, and with each good one later; what was known a moment ago may be believed. Where nobody
    /// else can be there, it is.
    fn recognise(&self, _life: Life) -> BoxFuture<'_, Recognition> {
        ready(Recognition::Itself).boxed()
    }

    /// Why a replica may not be heard at its address, as far as that can be seen from outside: nobody listens
    /// there, or nothing gets there. Nothing, if it is reached and only does not answer.
    fn why_unheard<'a>(&'a self, _life: Life, _address: &'a Address) -> BoxFuture<'a, Option<String>> {
        ready(None).boxed()
    }

    /// Everything of this service that is ours for certain, running or not.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Found>, DriverError>>;

    /// Refuses names that a caller has chosen, if something else is known by one of them where replicas run.
    fn vet_names<'a>(&'a self, _names: &'a [ReplicaName]) -> BoxFuture<'a, Result<(), NameOfAnother>> {
        ready(Ok(())).boxed()
    }

    /// Names that are held by what looks as if it were ours, and is not for certain; known once everything
    /// was listed. Nothing of it is touched, so a replica must have another name.
    fn names_of_strangers(&self) -> Vec<ReplicaName> {
        Vec::new()
    }

    /// What a life runs as, where there is something to tell.
    fn whereabouts(&self, _life: Life) -> Option<Whereabouts> {
        None
    }

    /// What a life writes, if that can be known: nothing where it does not run, or somebody else runs it.
    fn output(&self, _life: Life, _extent: Extent) -> Option<Following> {
        None
    }

    /// Removes what replicas shared, when the last of them is gone and the balancer ends.
    fn tidy_up(&self) -> BoxFuture<'_, Result<(), DriverError>>;
}

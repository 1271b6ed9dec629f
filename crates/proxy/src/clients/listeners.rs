//! Listener sockets: where client connections come in. Each worker has sockets of its own; nobody can
//! connect before they are served.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc;

use crate::clients::capacity::Capacity;
use crate::clients::queue::{HANDED_OVER_MAX, HandedOver, WorkerQueue, WorkerQueues};
use crate::settings::ListenerSettings;

/// Connections that the kernel holds for a worker that is busy.
const BACKLOG: i32 = 4096;

/// Bound sockets, one of each listener for each worker. Nobody can connect before they are served.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::{TcpListener, TcpStream};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use fleet::{Gate, Life, Replica, ReplicaName, Responses, RoutingTable, routing};
/// use placement::{Member, Placement, Rendezvous, Seat};
/// use proxy::{ClientSettings, KeyRule, ListenerSettings, Listeners, ProxySettings, ServiceSettings};
///
/// // One replica, which has one thing to say.
/// let application = TcpListener::bind("127.0.0.1:0")?;
/// let address = application.local_addr()?.into();
/// std::thread::spawn(move || -> std::io::Result<()> {
///     let (mut stream, _) = application.accept()?;
///     let _ = stream.read(&mut [0; 1024])?;
///     stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
/// });
///
/// // A table with that replica in the first seat, and routes to its service.
/// let seat = Seat::new(1).ok_or("a seat has a number from 1 up")?;
/// let replica = Replica {
///     seat,
///     life: Life { seat, incarnation: 1 },
///     name: ReplicaName::parse("web_1")?,
///     address,
///     weight: 1,
///     gate: Gate::default(),
///     responses: Responses::default(),
/// };
/// let mut placement = Placement::Rendezvous(Rendezvous::default());
/// placement.insert(Member::new(seat))?;
/// let table = RoutingTable::new(1, placement, &[Arc::new(replica)], 0.0);
/// let key_hash = table.key_hash();
/// let (_table_publisher, table) = routing(table);
/// let (suspicions, _suspected) = tokio::sync::mpsc::channel(16);
/// let service = ServiceSettings {
///     name: "web".into(),
///     scope: Default::default(),
///     path_form: Default::default(),
///     key: KeyRule::Random,
///     key_hash,
///     sticky: None,
///     style: Default::default(),
///     protocol: Default::default(),
///     timeouts: Default::default(),
///     limits: Default::default(),
///     retries: 1,
///     policies: Default::default(),
///     files: None,
///     error_pages: None,
///     table,
///     suspicions,
/// };
/// let (_routes_publisher, routes) = proxy::routes(vec![service]);
///
/// let listeners = Listeners::bind(&[ListenerSettings::plain("127.0.0.1:0".parse()?)], 1)?;
/// let address = listeners.addresses()[0];
/// let proxy = listeners.serve(&ProxySettings {
///     routes,
///     local: None,
///     drain_deadline: Duration::from_secs(1),
///     clients: ClientSettings::default(),
///     access_log: None,
///     limits: Default::default(),
/// })?;
///
/// let mut client = TcpStream::connect(address)?;
/// client.write_all(b"GET / HTTP/1.1\r\nhost: example\r\nconnection: close\r\n\r\n")?;
/// let mut response = String::new();
/// client.read_to_string(&mut response)?;
/// assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("\r\n\r\nhello"));
/// proxy.stop();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Listeners {
    listeners: Vec<Bound>,
    workers: usize,
}

#[derive(Debug)]
struct Bound {
    settings: ListenerSettings,
    sockets: Vec<Socket>,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

impl Listeners {
    /// Binds addresses for this many workers. With port 0 the system chooses one port for all.
    pub fn bind(listeners: &[ListenerSettings], workers: usize) -> Result<Self, ListenError> {
        let bind_all = |settings: &ListenerSettings| -> io::Result<Bound> {
            // Sockets that share a port can be joined by another program of the same user
            // without any error, so the port is first tried by one that shares nothing.
            if settings.address.port() != 0 {
                bind_one(settings.address, false)?;
            }
            let first = bind_one(settings.address, true)?;
            let address = first.local_addr()?.as_socket().unwrap_or(settings.address);
            let mut sockets = vec![first];
            for _ in 1..workers {
                sockets.push(bind_one(address, true)?);
            }
            Ok(Bound { settings: ListenerSettings { address, ..settings.clone() }, sockets })
        };
        let bind = |settings: &ListenerSettings| {
            bind_all(settings).map_err(|source| ListenError { address: settings.address, source })
        };
        let listeners = listeners.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { listeners, workers })
    }

    /// Where clients can connect once this is served, in the order in which it was asked for.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|bound| bound.settings.address).collect()
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// What each worker listens on.
    pub(crate) fn into_workers(self, capacity: &Arc<Capacity>) -> io::Result<Vec<WorkerListeners>> {
        let channels: Vec<_> = (0..self.workers).map(|_| mpsc::channel(HANDED_OVER_MAX)).collect();
        let queues: Vec<WorkerQueue> =
            channels.iter().map(|(sender, _)| WorkerQueue::new(sender.clone())).collect();
        let mut workers: Vec<WorkerListeners> = channels
            .into_iter()
            .enumerate()
            .map(|(own, (_, handed_over))| WorkerListeners {
                sockets: Vec::new(),
                capacity: Arc::clone(capacity),
                queues: WorkerQueues::new(queues.clone(), own),
                handed_over,
            })
            .collect();
        for bound in self.listeners {
            let settings = Arc::new(bound.settings);
            for (worker, socket) in workers.iter_mut().zip(bound.sockets) {
                socket.listen(BACKLOG)?;
                worker.sockets.push((socket.into(), Arc::clone(&settings)));
            }
        }
        Ok(workers)
    }
}

fn bind_one(address: SocketAddr, is_shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// What one worker listens on, and its part in spreading connections.
pub(crate) struct WorkerListeners {
    pub(crate) sockets: Vec<(std::net::TcpListener, Arc<ListenerSettings>)>,
    pub(crate) capacity: Arc<Capacity>,
    pub(crate) queues: WorkerQueues,
    pub(crate) handed_over: mpsc::Receiver<HandedOver>,
}

impl WorkerListeners {
    /// How many connections the worker has.
    pub(crate) fn connections(&self) -> Arc<AtomicUsize> {
        self.queues.connections()
    }
}

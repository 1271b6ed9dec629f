//! Why a container is not heard where it is to listen: what listens inside, as far as the kernel shows it, and
//! whether a connection comes about at all.

use std::net::SocketAddr;
use std::time::Duration;

use fleet::{Address, Life, NoConnection};
use tokio::net::TcpStream;

use super::containers::Containers;
use super::settings::DockerSettings;
use crate::known_releases::KnownReleases;

/// How long a connection may take, on a machine that is there.
const CONNECT_LIMIT: Duration = Duration::from_millis(500);

/// How many addresses are told.
const ADDRESSES_MAX: usize = 4;

/// What the engine itself listens on in each container, for names.
const ENGINE: [u8; 4] = [127, 0, 0, 11];

/// Why a life is not heard at its address, as far as that can be seen.
pub(super) async fn why_unheard(containers: &Containers, life: Life, address: &Address) -> Option<String> {
    let latest = containers.releases.get().map(KnownReleases::latest)?;
    let DockerSettings { image, port, network, publish, .. } = &latest.settings;
    match inside(containers.lives.listeners(life).as_deref(), *port) {
        Inside::Wrong(Some(why)) => return Some(why),
        Inside::Right => return no_way(address, network, *publish).await,
        Inside::Unknown | Inside::Wrong(None) => {}
    }
    if let Some(why) = no_way(address, network, *publish).await {
        return Some(why);
    }
    let exposed = containers.engine.exposed_ports(image).await.ok()?;
    let of_tcp: Vec<&str> = exposed.iter().filter_map(|port| port.strip_suffix("/tcp")).collect();
    let is_ours = of_tcp.contains(&port.to_string().as_str());
    (!is_ours && !of_tcp.is_empty())
        .then(|| format!("the image exposes {}, and port is {port}", of_tcp.join(", ")))
}

/// What listens inside a container that is to listen on this port.
enum Inside {
    /// It is not shown.
    Unknown,
    /// Something that takes connections from outside.
    Right,
    /// Nobody that would, and this is why.
    Wrong(Option<String>),
}

/// What these listeners are for a replica on this port.
fn inside(listeners: Option<&[SocketAddr]>, port: u16) -> Inside {
    let Some(listeners) = listeners else { return Inside::Unknown };
    let own: Vec<&SocketAddr> =
        listeners.iter().filter(|one| one.ip() != std::net::IpAddr::from(ENGINE)).collect();
    let on_port = own.iter().filter(|one| one.port() == port).collect::<Vec<_>>();
    if on_port.iter().any(|one| !one.ip().to_canonical().is_loopback()) {
        return Inside::Right;
    }
    if let Some(local) = on_port.first() {
        return Inside::Wrong(Some(format!(
            "it listens on {local}, which only its own container reaches; it has to be 0.0.0.0:{port}"
        )));
    }
    let told: Vec<String> = own.iter().take(ADDRESSES_MAX).map(ToString::to_string).collect();
    let told = (!told.is_empty()).then(|| format!("it listens on {}, and port is {port}", told.join(", ")));
    Inside::Wrong(told)
}

/// Why no connection comes about, if that is so and it is not merely refused.
async fn no_way(address: &Address, network: &str, is_published: bool) -> Option<String> {
    let Address::Tcp(address) = address else { return None };
    let outcome = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address)).await;
    let why = match outcome {
        Ok(Ok(_)) => return None,
        Ok(Err(error)) if NoConnection::of(&error) == NoConnection::Unreachable => error.to_string(),
        Ok(Err(_)) => return None,
        Err(_) => format!("no connection within {CONNECT_LIMIT:?}"),
    };
    let hint = match is_published {
        true => "is something between this balancer and the engine's published ports?".to_owned(),
        false => format!(
            "nothing gets from here into the network '{network}': a balancer in a container has to be on that \
             network, too, and one on the host must not be kept from it"
        ),
    };
    Some(format!("{hint} ({why})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_where_nobody_else_gets_is_told_and_who_listens_right_is_not() {
        let names = "127.0.0.11:39561";
        for (listeners, expected) in [
            (&["0.0.0.0:5000", names][..], None),
            (&["[::]:5000"], None),
            (&["172.19.0.2:5000", "127.0.0.1:5000"], None),
            (
                &["127.0.0.1:5000", names],
                Some(Some("it listens on 127.0.0.1:5000, which only its own container")),
            ),
            (&["[::1]:5000"], Some(Some("it listens on [::1]:5000, which only its own container"))),
            (&["[::ffff:127.0.0.1]:5000"], Some(Some("which only its own container"))),
            (
                &["0.0.0.0:8080", "[::1]:9090"],
                Some(Some("it listens on 0.0.0.0:8080, [::1]:9090, and port is 5000")),
            ),
            (&[names], Some(None)),
            (&[], Some(None)),
        ] {
            let addresses: Vec<SocketAddr> = listeners.iter().map(|one| one.parse().unwrap()).collect();
            match (inside(Some(&addresses), 5000), expected) {
                (Inside::Right, None) | (Inside::Wrong(None), Some(None)) => {}
                (Inside::Wrong(Some(words)), Some(Some(part))) if words.contains(part) => {}
                (Inside::Wrong(words), expected) => panic!("{listeners:?}: {words:?}, not {expected:?}"),
                (Inside::Right | Inside::Unknown, expected) => panic!("{listeners:?}: not {expected:?}"),
            }
        }
        assert!(matches!(inside(None, 5000), Inside::Unknown));
    }

    #[tokio::test]
    async fn an_address_that_nothing_gets_to_is_told_with_its_network() {
        // Whose queue is full is as silent as a network without a way.
        let deaf = tokio::net::TcpSocket::new_v4().unwrap();
        deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let deaf = deaf.listen(1).unwrap();
        let address = deaf.local_addr().unwrap();
        let mut queue = Vec::new();
        while let Ok(stream) = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
            queue.push(stream.unwrap());
        }
        let words = no_way(&Address::Tcp(address), "shop", false).await.unwrap();
        assert!(words.contains("into the network 'shop'"), "{words}");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        assert_eq!(no_way(&address, "shop", false).await, None);
        drop(listener);
        assert_eq!(no_way(&address, "shop", false).await, None, "it is refused, so there is a way");
    }
}

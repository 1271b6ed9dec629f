//! Whom the contract's endpoints are for, as networks: where the configuration names a place and not an
//! address, the system is asked.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use config::ContractSource;
use ipnet::IpNet;

/// The networks that are meant now. A gateway that there is not is nobody.
pub(crate) fn networks(sources: &[ContractSource]) -> Vec<IpNet> {
    let network = |source: &ContractSource| match source {
        ContractSource::Network(network) => Some(*network),
        ContractSource::Gateway => {
            let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
            let gateway = gateway_in(&routes);
            if gateway.is_none() {
                tracing::warn!("contract_from names the gateway of this network, and there is none");
            }
            gateway.map(|address| IpNet::from(IpAddr::V4(address)))
        }
    };
    sources.iter().filter_map(network).collect()
}

/// The gateway of the default route, as the kernel lists routes.
fn gateway_in(routes: &str) -> Option<Ipv4Addr> {
    let gateway = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (destination, gateway) = (fields.next()?, fields.next()?);
        // Addresses stand there as numbers in the order of bytes that this machine has.
        let address = Ipv4Addr::from(u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes());
        (destination == "00000000" && !address.is_unspecified()).then_some(address)
    };
    routes.lines().skip(1).find_map(gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_that_of_the_default_route() {
        let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
        let own = "eth0\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        let default = "eth0\t00000000\t010012AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        let routes = format!("{head}{own}{default}");
        if cfg!(target_endian = "little") {
            assert_eq!(gateway_in(&routes), Some(Ipv4Addr::new(172, 18, 0, 1)));
        }
        assert_eq!((gateway_in(&format!("{head}{own}")), gateway_in("")), (None, None));
    }
}

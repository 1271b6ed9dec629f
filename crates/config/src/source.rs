//! Where clients are that something is for.

use std::fmt;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Where clients of the contract's endpoints are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContractSource {
    /// In this network.
    Network(IpNet),
    /// At the gateway of this network: where a container is reached from its host.
    Gateway,
}

impl ContractSource {
    /// How the gateway is written.
    pub(crate) const GATEWAY: &str = "gateway";

    /// This machine, and nobody else.
    pub(crate) fn loopback() -> Vec<Self> {
        let networks = [
            IpNet::V4(Ipv4Net::new_assert([127, 0, 0, 0].into(), 8)),
            IpNet::V6(Ipv6Net::new_assert(1_u128.into(), 128)),
        ];
        networks.map(Self::Network).into()
    }
}

impl fmt::Display for ContractSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                network.addr().fmt(f)
            }
            Self::Network(network) => network.fmt(f),
            Self::Gateway => f.write_str(Self::GATEWAY),
        }
    }
}

//! Whose request it is, as far as the network tells.
//!
//! Always true here: an address that a client wrote into a header itself is never believed. `X-Forwarded-For` is read
//! from the right, and only as far as each hop is one of our own proxies.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The address of the client, put into the request's extensions; `None` where no connection is known (in tests).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientIp(pub Option<IpAddr>);

/// The networks of the proxies whose `X-Forwarded-For` is believed. None by default.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

/// Text that is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an IP address nor a network like 10.0.0.0/8")]
pub struct NotANetwork(String);

impl TrustedProxies {
    /// Reads addresses (`192.0.2.7`) and networks (`10.0.0.0/8`, `fd00::/8`).
    ///
    /// # Errors
    /// Names the first entry that is neither.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, NotANetwork> {
        let net = |entry: &str| {
            let address = || IpAddr::from_str(entry).map(IpNet::from);
            IpNet::from_str(entry).or_else(|_| address()).map_err(|_| NotANetwork(entry.to_owned()))
        };
        let nets: Result<Vec<_>, _> = entries.into_iter().map(str::trim).filter(|entry| !entry.is_empty()).map(net).collect();
        Ok(Self(nets?.into()))
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }
}

impl FromStr for TrustedProxies {
    type Err = NotANetwork;

    /// A list separated by commas.
    fn from_str(list: &str) -> Result<Self, Self::Err> {
        Self::parse(list.split(','))
    }
}

/// The address of the client: the peer itself, or, when that is a trusted proxy, the rightmost address in
/// `X-Forwarded-For` that is not one. An entry that cannot be read ends the search at the hop that sent it.
#[must_use]
pub fn client_ip(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &TrustedProxies) -> Option<IpAddr> {
    // A socket that listens on both families shows IPv4 peers as IPv6.
    let mut client = peer?.to_canonical();
    let values: Vec<&str> = headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or("")).collect();
    let mut hops = values.iter().rev().flat_map(|value| value.rsplit(','));
    while trusted.trust(client) {
        let Some(hop) = hops.next().and_then(address) else { break };
        client = hop;
    }
    Some(client)
}

/// `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
fn address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = IpAddr::from_str(hop).or_else(|_| IpAddr::from_str(hop.trim_start_matches('[').trim_end_matches(']')));
    bare.or_else(|_| SocketAddr::from_str(hop).map(|socket| socket.ip())).ok().map(|address| address.to_canonical())
}

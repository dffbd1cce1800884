//! PURE. The networks by which peers are told apart: what one host, or one customer of a provider, may choose from.

use std::net::{IpAddr, Ipv6Addr};

/// Returns the source of a connection: an IPv4 address, or an IPv6 /64, from which a host takes any address.
pub fn source_prefix(address: IpAddr) -> IpAddr {
    prefix(address, 64)
}

/// Returns the site of a connection: an IPv4 address, or an IPv6 /48, from which a customer takes any /64.
pub fn site_prefix(address: IpAddr) -> IpAddr {
    prefix(address, 48)
}

fn prefix(address: IpAddr, bits: u32) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !(u128::MAX >> bits)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_is_a_network_of_its_own_and_an_ipv6_one_is_not() {
        let of = |network: fn(IpAddr) -> IpAddr, address: &str| network(address.parse().unwrap()).to_string();
        assert_eq!(of(source_prefix, "192.0.2.1"), "192.0.2.1");
        assert_eq!(of(source_prefix, "2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of(site_prefix, "2001:db8:1:2:3:4:5:6"), "2001:db8:1::");
    }
}

//! Connections between client and hub, below the WebSocket.
//!
//! At the client, [`dial`] turns an address of [`hub_addresses`] into an encrypted connection: DNS, happy eyeballs,
//! TCP, a proxy if there is one, TLS. At the hub, [`http_server`] turns an accepted connection into HTTP requests and
//! WebSockets. [`socket`] sets the options of the TCP sockets of both.

pub mod accept;
pub mod dial;
pub mod happy_eyeballs;
pub mod http_server;
pub mod hub_addresses;
mod proxy_connect;
pub mod socket;

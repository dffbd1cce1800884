//! Connections between hub and client: dialling (DNS, TCP, proxy, TLS), and HTTP requests on accepted ones.

pub mod dial;
pub mod happy_eyeballs;
pub mod http_server;
pub mod hub_addresses;
mod proxy_connect;
pub mod socket;

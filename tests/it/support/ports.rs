//! Ports that stay a test's own while nothing listens on them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;

use socket2::{Domain, Socket, Type};

/// Reserves a port of 127.0.0.1 for as long as the tests run, for servers that take turns on it, or that end before their
/// clients. While none listens, the system would otherwise give it to another test, whose server then meets a client that
/// retries, or to a client that retries, which would connect to itself.
pub(crate) fn reserve() -> u16 {
    static RESERVED: Mutex<Vec<Socket>> = Mutex::new(Vec::new());
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an option");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    let port = socket.local_addr().expect("an address").as_socket().expect("an IP address").port();
    RESERVED.lock().expect("no test panics here").push(socket);
    port
}

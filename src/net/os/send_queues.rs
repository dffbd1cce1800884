//! The bytes that the kernel holds for the peers of this process's TCP connections. A reader that takes a little at a time
//! frees room there long before the kernel asks for more: only the queue's length shows that it reads.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A connection: this end's address, and the peer's.
pub type Ends = (SocketAddr, SocketAddr);

/// The kernel's tables of connections (proc_pid_net(5)), of the process's network namespace.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// The state of a connection that is open both ways.
const ESTABLISHED: &str = "01";

/// Returns the bytes not acknowledged by its peer for each connection that has some. `None` where the system does not
/// report them. Reads a line for each connection of the system: not for every stream.
pub fn read() -> Option<HashMap<Ends, u64>> {
    let tables: Vec<_> = TABLES.iter().filter_map(|table| File::open(table).ok()).collect();
    // A line at a time: it is read where memory is short, and a table may have MiBs.
    let queues = |table| BufReader::new(table).lines().map_while(Result::ok).filter_map(|line| parse(&line));
    (!tables.is_empty()).then(|| tables.into_iter().flat_map(queues).collect())
}

/// Parses a line such as `1: 0100007F:1F90 0100007F:D431 01 0000002A:00000000 …`.
fn parse(line: &str) -> Option<(Ends, u64)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, peer) = (fields.next()?, fields.next()?);
    fields.next().filter(|state| *state == ESTABLISHED)?;
    let (queued, _) = fields.next()?.split_once(':')?;
    let queued = u64::from_str_radix(queued, 16).ok().filter(|queued| *queued > 0)?;
    Some(((address(local)?, address(peer)?), queued))
}

/// Parses an address: each word of four bytes is in the processor's own order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words = ip.as_bytes().chunks(8).map(|word| {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        Some(word.to_ne_bytes())
    });
    let bytes = words.collect::<Option<Vec<_>>>()?.concat();
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => IpAddr::from(Ipv4Addr::from(bytes)),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?).into(),
    };
    // IPv4 as IPv4, also on a socket for both.
    Some(SocketAddr::new(ip.to_canonical(), u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_queue_of_a_connection_whose_peer_does_not_read_shrinks_when_it_does() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(any) else { continue };
            let mut reader = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut writer, _) = listener.accept().unwrap();
            let ends = (writer.local_addr().unwrap(), writer.peer_addr().unwrap());
            assert_eq!(read().unwrap().get(&ends), None, "nothing is queued");
            writer.set_nonblocking(true).unwrap();
            let mut written = 0;
            while let Ok(taken) = writer.write(&[0; 64 * 1024]) {
                written += taken;
            }
            let full = read().unwrap()[&ends];
            assert!(full > 0);
            // What the other end's kernel has makes no room here.
            reader.read_exact(&mut vec![0; written / 4 * 3]).unwrap();
            assert!(read().unwrap().get(&ends).is_none_or(|left| *left < full));
        }
    }

    #[test]
    fn a_line_that_is_none_is_skipped() {
        for line in
            ["", "sl local_address", "1: 0100007F:1F90 0100007F 01 01:0", "1: :1 :1 01 1:0", "1: é:1 é:1 01 1:0"]
        {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}

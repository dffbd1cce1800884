//! Load balancers, proxies and links in front of the hub that get in its way: named by `check`, by the roles, and by the
//! hub.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use devstream::proto::refusal::RefusalKind;

use crate::support::DEVICE;
use crate::support::certificates::{Authority, Files, NAME};
use crate::support::machine::Machine;
use crate::support::netns::NetNs;
use crate::support::process::Process;
use crate::support::roles::Hub;

/// A hub and a device that joined.
fn fixture(arguments: &[&str]) -> (Hub, Machine) {
    let (hub, device) = (Hub::start_with(&Machine::new(), arguments), Machine::new());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    (hub, device)
}

/// Asserts what an agent and `check` say of a hub at this address.
fn assert_named(device: &Machine, hub: &[&str], cause: &str, advice: &str) {
    let agent = device.start(&[&["device-agent", "--forward", "22"], hub].concat());
    let checked = device.run(&[&["check"], hub].concat());
    assert_eq!(checked.code, Some(RefusalKind::HubUnreachable.row().exit.into()), "{checked:?}");
    assert!(checked.stdout.contains(cause) && checked.stdout.contains(advice), "{checked:?}");
    let line = agent.wait_line(cause);
    assert!(line.contains("trying again"), "{line}");
}

/// A load balancer that begins each connection to the hub with these bytes.
fn load_balancer(hub: u16, header: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(("127.0.0.1", hub)).unwrap();
            (&server).write_all(header).unwrap();
            relay(&client, &server);
            relay(&server, &client);
        }
    });
    port
}

fn relay(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}

#[test]
fn a_load_balancer_that_sends_a_proxy_header_is_named_by_both_ends() {
    const V1: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 50000 443\r\n";
    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\xc3\x50\x01\xbb";
    for header in [V1, V2] {
        let (hub, device) = fixture(&[]);
        let port = load_balancer(hub.port, header);
        let address = format!("127.0.0.1:{port}");
        assert_named(&device, &["--hub", &address], "PROXY protocol header", "send-proxy");
        hub.process.wait_line("begins with a PROXY protocol header");
        let warned = hub.process.log().matches("begins with a PROXY protocol header").count();
        assert_eq!(warned, 1, "once a minute: {}", hub.process);
    }
}

/// A client that offers TLS 1.2 at most.
const OLD_CLIENT: &str = "
import socket, ssl, sys
context = ssl._create_unverified_context()
context.maximum_version = ssl.TLSVersion.TLSv1_2
context.wrap_socket(socket.create_connection(('127.0.0.1', int(sys.argv[1]))))
";

/// A server of TLS 1.2 at most.
const OLD_SERVER: &str = "
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.maximum_version = ssl.TLSVersion.TLSv1_2
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(('127.0.0.1', 0))
print('listening on', listener.getsockname()[1], flush=True)
while True:
    client, _ = listener.accept()
    client.settimeout(10)
    try:
        context.wrap_socket(client, server_side=True)
    except OSError:
        client.close()
";

#[test]
fn an_end_of_tls_without_tls_1_3_is_named_by_both_ends() {
    let (hub, device) = fixture(&[]);
    let files = Files::in_directory(device.home());
    files.write(&Authority::new().certify(NAME));
    let mut python = Command::new("/usr/bin/python3");
    let server = Process::start(python.args(["-c", OLD_SERVER]).args([&files.certificate, &files.key]));
    let line = server.wait_line("listening on");
    let address = format!("{NAME}:{}", line.rsplit(' ').next().unwrap());
    assert_named(&device, &["--hub", &address], "does not speak TLS 1.3", "pass TLS through");
    let mut python = Command::new("/usr/bin/python3");
    let refused = Process::start(python.args(["-c", OLD_CLIENT, &hub.port.to_string()])).finish();
    assert_ne!(refused.code, Some(0), "{refused:?}");
    hub.process.wait_line("no TLS 1.3 is offered");
}

#[test]
fn a_path_that_loses_the_large_packets_of_tls_is_named_by_both_ends() {
    let (hub, device) = fixture(&["--tls-timeout", "1"]);
    // The kernel accepts connections, and nobody reads them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    assert_named(&device, &["--hub", &address], "got no answer to TLS", "mtu 1280");
    let mut client = TcpStream::connect(("127.0.0.1", hub.port)).unwrap();
    client.write_all(&[22, 3, 1, 6, 0]).unwrap();
    hub.process.wait_line("did not complete TLS in time");
    assert_eq!(client.read(&mut [0; 16]).unwrap_or_default(), 0);
}

/// The hub waits for TLS less long than its clients.
#[test]
fn a_path_that_loses_large_packets_is_named_where_the_hub_gives_up_first() {
    let [near, far] = NetNs::two();
    let hub = Hub::start_at(&near.machine(), "10.0.0.1:0", &["--hostname", "10.0.0.1", "--tls-timeout", "9"]);
    let device = far.machine();
    device.ask(&["join", &hub.device_link(DEVICE)]);
    near.run("iptables -A INPUT -i veth -m length --length 601:65535 -j DROP");
    assert_named(&device, &[], "got no answer to TLS in ", "mtu 1280");
}

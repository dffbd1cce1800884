//! Real load balancers in front of a hub, with the configurations of docs/networks.md: the hub sees the clients' addresses.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use devstream::net::tls::{Trust, client_config};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::support::machine::Machine;
use crate::support::netns::NetNs;
use crate::support::poll;
use crate::support::process::Process;
use crate::support::raw::RawClient;
use crate::support::roles::{Agent, Hub, ServiceProxy, connect, connect_from};
use crate::support::targets::{Target, is_alive};
use crate::support::{DEVICE, TIMEOUT};

/// The balancer's address on the cable, and the clients': a device with its operator, and a neighbour.
const BALANCER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const CLIENT: &str = "10.0.0.2";
const NEIGHBOUR: &str = "10.0.0.3";

/// A client says the name of the web server, which is no hub.
const WEB: &str = "www.example.com";

/// Returns the configuration that docs/networks.md shows after a line with these words.
fn recipe(after: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/networks.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once(after).unwrap_or_else(|| panic!("docs/networks.md lacks '{after}'"));
    let lines = rest.lines().skip(1).skip_while(|line| line.is_empty());
    lines.take_while(|line| line.starts_with("    ")).map(|line| format!("{}\n", &line[4..])).collect()
}

/// A hub behind a balancer, which listens on the hub's port of its own address, with the web server's place taken by an echo.
struct Fixture {
    near: NetNs,
    far: NetNs,
    hub: Hub,
    _web: Target,
    _balancer: Process,
}

impl Fixture {
    /// `configure` adapts a configuration whose addresses are real, and names the command and its arguments.
    fn new(after: &str, configure: impl Fn(&Path, String) -> Vec<String>) -> Self {
        let [near, far] = NetNs::two();
        far.run(&format!("ip address add {NEIGHBOUR}/24 dev veth"));
        let listed = ["--hostname", "10.0.0.1", "--proxy-protocol-from", "127.0.0.1", "--penalty-threshold", "3"];
        let hub = Hub::start_at(&near.machine(), "127.0.0.1:0", &listed);
        let web = near.enter(Target::echo);
        let (port, web_address) = (hub.port, format!("127.0.0.1:{}", web.port));
        let config = recipe(after)
            .replace("10.0.0.2:8443", &format!("127.0.0.1:{port}"))
            .replace("10.0.0.3:443", &web_address)
            .replace("bind :443", &format!("bind {BALANCER}:{port}"))
            .replace("listen 443", &format!("listen {BALANCER}:{port}"));
        let machine = near.machine();
        let command = configure(machine.home(), config);
        let balancer = Process::start(machine.command(&command[0]).args(&command[1..]).current_dir("/"));
        poll("a balancer that listens", || {
            assert!(balancer.is_running(), "{balancer}");
            near.enter(|| TcpStream::connect((BALANCER, port)).ok())
        });
        Self { near, far, hub, _web: web, _balancer: balancer }
    }

    fn assert_all_see_the_client(&self) {
        let Self { far, hub, .. } = self;
        let (device, laptop) = (far.machine(), far.machine());
        device.ask(&["join", &hub.device_link(DEVICE)]);
        hub.process.wait_line(&format!("device {DEVICE} joined from {CLIENT}"));
        laptop.ask(&["join", &hub.service_link("alice")]);
        let target = far.enter(Target::echo);
        let _agent = Agent::start(&device, &[&target.port.to_string()]);
        hub.process.wait_line(&format!("device {DEVICE} is online from {CLIENT}"));
        let proxy = ServiceProxy::start(&laptop);
        let mut local = far.enter(|| proxy.connect());
        is_alive(&mut local);
        let opened = hub.process.wait_line(&format!("alice to {DEVICE}"));
        assert!(opened.contains(CLIENT), "{opened}");
        self.ban_a_neighbour();
        is_alive(&mut far.enter(|| proxy.connect()));
        self.assert_the_web_server_has_its_name();
    }

    /// What a neighbour does wrong costs nobody else behind the same balancer.
    fn ban_a_neighbour(&self) {
        let ask = format!("curl -sk --interface {NEIGHBOUR} https://{BALANCER}:{}/nothing; true", self.hub.port);
        let banned = poll("a penalty", || {
            self.far.run(&ask);
            let events = self.hub.activity();
            events.into_iter().find(|event| event["operationName"] == "sourcePenalised")
        });
        let address = banned["properties"]["sourceAddress"].as_str();
        assert!(address.is_some_and(|address| address.starts_with(NEIGHBOUR)), "{banned}");
    }

    fn assert_the_web_server_has_its_name(&self) {
        let config = client_config(&Trust::Public).unwrap();
        let mut client = ClientConnection::new(Arc::clone(&config), ServerName::try_from(WEB).unwrap()).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        let mut web = self.far.enter(|| TcpStream::connect((BALANCER, self.hub.port)).unwrap());
        web.set_read_timeout(Some(TIMEOUT)).unwrap();
        web.write_all(&hello).unwrap();
        let mut echoed = Vec::new();
        while !echoed.ends_with(&hello) {
            let mut bytes = [0; 4096];
            let length = web.read(&mut bytes).unwrap();
            assert!(length > 0, "not the web server: {echoed:?}");
            echoed.extend_from_slice(&bytes[..length]);
        }
    }

    /// Whoever is on the balancer's machine and forgets the header is told so.
    fn assert_a_missing_header_is_named(&self) {
        let mut direct = self.near.enter(|| connect(self.hub.port));
        direct.write_all(b"\x16\x03\x01\x02\0\x01\0").unwrap();
        assert!(!matches!(direct.read(&mut [0; 1]), Ok(1..)), "it was answered");
        let line = self.hub.process.wait_line("does not begin with a PROXY protocol header");
        assert!(line.contains("127.0.0.1") && line.contains("send-proxy-v2"), "{line}");
    }
}

#[test]
fn behind_haproxy_everyone_has_an_address_of_their_own() {
    let fixture = Fixture::new("HAProxy:", |home, config| {
        let file = home.join("haproxy.cfg");
        fs::write(&file, config).unwrap();
        ["/usr/sbin/haproxy", "-db", "-f", file.to_str().unwrap()].map(str::to_owned).into()
    });
    fixture.assert_all_see_the_client();
    fixture.assert_a_missing_header_is_named();
}

#[test]
fn whoever_sends_no_header_from_a_balancers_address_takes_no_place_of_others() {
    let balancer = Ipv4Addr::new(127, 0, 0, 9);
    let hub = Hub::start_with(&Machine::new(), &["--proxy-protocol-from", &balancer.to_string()]);
    let silent: Vec<_> = (0..600).map(|_| connect_from(balancer, hub.port).unwrap()).collect();
    let line = hub.process.wait_line("limit reached: proxy-header");
    assert!(line.contains(&balancer.to_string()), "{line}");
    RawClient::join(&hub.service_link("alice")).standby().unwrap();
    drop(silent);
}

#[test]
fn behind_nginx_everyone_has_an_address_of_their_own() {
    let fixture = Fixture::new("nginx, outside of `http`", |home, config| {
        let file = home.join("nginx.conf");
        let main = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off;\nuser root;\nworker_processes 1;\n\
                    error_log stderr;\nevents {}\n";
        fs::write(&file, format!("{main}pid {}/nginx.pid;\n{config}", home.display())).unwrap();
        let arguments = ["/usr/sbin/nginx", "-p", home.to_str().unwrap(), "-e", "stderr", "-c", file.to_str().unwrap()];
        arguments.map(str::to_owned).into()
    });
    fixture.assert_all_see_the_client();
}

//! `check` against other servers and dead addresses.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use devstream::proto::refusal::RefusalKind;

use super::{CheckReport, HUB_PATH};
use crate::support::DEVICE;
use crate::support::certificates::{Authority, NAME};
use crate::support::fake_hub::FakeHub;
use crate::support::machine::Machine;
use crate::support::netns::NetNs;
use crate::support::roles::{Agent, Hub, ServiceProxy};
use crate::support::targets::{Target, closed_port, is_alive};

/// Response of a captive portal.
const PORTAL: &str = "HTTP/1.1 302 Found\r\nlocation: http://portal.test/\r\ncontent-length: 0\r\n\r\n";

/// Response of any web server.
const PAGE: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>";

/// Runs `work` with the address of a server that gives this response to every request.
fn answering<R>(answer: &'static str, hold: bool, work: impl FnOnce(&str) -> R) -> R {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (address, over) = (listener.local_addr().unwrap(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut held = Vec::new();
            for mut stream in listener.incoming().map(Result::unwrap) {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let _ = stream.read(&mut [0; 4096]).and_then(|_| stream.write_all(answer.as_bytes()));
                held.extend(hold.then_some(stream));
            }
        });
        let done = work(&format!("{NAME}:{}", address.port()));
        over.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(address);
        done
    })
}

#[test]
fn check_tells_another_server_from_a_hub() {
    let (hub, [laptop, device]) = (Hub::start(&Machine::new()), [(); 2].map(|()| Machine::new()));
    laptop.ask(&["join", &hub.service_link("alice")]);
    device.ask(&["join", &hub.device_link(DEVICE)]);
    let at = |address: &str| CheckReport::on(&laptop, &["--hub", address]);
    for answer in [PAGE, "SSH-2.0-Test\r\n"] {
        let checked = answering(answer, false, at);
        checked.fails("tls", RefusalKind::HubUnreachable, "does not speak TLS", "check that a hub listens there");
    }
    let closes = answering("", false, at);
    closes.fails(
        "tls",
        RefusalKind::ConnectionRejected,
        "before TLS was established",
        "check that the address and port are those of a hub",
    );
    let authority = Authority::new();
    for (answer, cause) in [(PORTAL, "HTTP 302 Found"), (PAGE, "the server there is not a devstream hub")] {
        for machine in [&laptop, &device] {
            let port = closed_port();
            let fake = FakeHub::on(port, &authority.certify(NAME));
            let arguments = ["--hub", &format!("{NAME}:{port}"), "--ca", &authority.file(machine)];
            thread::scope(|scope| {
                scope.spawn(|| fake.accept().respond(answer.as_bytes()));
                let checked = CheckReport::on(machine, &arguments);
                checked.fails("authentication", RefusalKind::HubUnreachable, cause, "captive portal");
            });
        }
    }
    let through = |proxy: &str| CheckReport::on(&laptop, &["--hub", "hub.test", "--via", &format!("http://{proxy}")]);
    for (answer, hold, cause) in [
        (PORTAL, false, "answered 302 Found"),
        (PAGE, false, "bytes ahead of the hub"),
        ("HTTP/1.1 200 Conn", true, "did not connect to hub.test:443 in 10 s"),
    ] {
        answering(answer, hold, through).fails(
            "proxy",
            RefusalKind::HubUnreachable,
            cause,
            "ask the proxy's administrator",
        );
    }
}

#[test]
fn check_shows_the_useful_part_of_a_targets_banner() {
    let says: [(&str, Vec<u8>, &str); 4] = [
        ("rubbish", vec![0xff, 0xfd, 0x18, 0xff, 0x80, 0x81], "binary: ff fd 18 ff 80 81 ..."),
        ("escapes", b"hello \x1b[2Jall of you\x9b31m\r\n".into(), "hello \u{fffd}[2Jall of you\u{fffd}31m"),
        ("much", vec![b'x'; 1 << 20], &"x".repeat(80)),
        ("late", b"\r\n\r\nhello\r\n".into(), "hello"),
    ];
    let hub = Hub::start(&Machine::new());
    let [device, laptop] = [(); 2].map(|()| Machine::new());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    laptop.ask(&["join", &hub.service_link("alice")]);
    let targets = says.each_ref().map(|(name, bytes, _)| (*name, Target::greeting_then_reading(bytes.clone())));
    let forwards = targets.each_ref().map(|(name, target)| format!("{name}={}", target.port));
    let agent = Agent::start(&device, &forwards.each_ref().map(String::as_str));
    for (name, _, said) in &says {
        let checked = CheckReport::on(&laptop, &["--device", DEVICE, "--stream", name]);
        checked.is_well(&[&HUB_PATH[..], &["device", "stream", "endToEnd", "target"]].concat());
        assert_eq!(checked.hop("target")["facts"]["says"], *said, "{:#}", checked.0);
        agent.process.wait_line(&format!("{name}: closed"));
    }
    let closed = hub.activity().into_iter().filter(|entry| entry["operationName"] == "streamClosed");
    assert!(closed.clone().all(|entry| entry["resultType"] == "closed"), "{:?}", closed.collect::<Vec<_>>());
}

#[test]
fn check_names_the_party_that_rejects_the_stream() {
    let hub = Hub::start_with(&Machine::new(), &["--no-resume"]);
    let [device, laptop] = [(); 2].map(|()| Machine::new());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    laptop.ask(&["join", &hub.service_link_with("alice", &["--device", "*", "--stream", "web"])]);
    let echo = Target::echo();
    let web = format!("web={}", echo.port);
    let mut agent = device.start(&["device-agent", "--forward", &web, "--allow-service", "bob"]);
    agent.wait_line("is online");
    let check = |name: &str| CheckReport::on(&laptop, &["--device", DEVICE, "--stream", name]);
    check("ssh").fails("stream", RefusalKind::NotPermitted, "not permitted", "devstream hub service set NAME --stream");
    check("web").fails(
        "stream",
        RefusalKind::RejectedByDevice,
        "its access policy does not allow alice",
        "with --allow-service, --allow-plain and --accept-command of its device-agent; the device's log has more",
    );

    agent.kill();
    agent = device.start(&["device-agent", "--forward", &web]);
    agent.wait_line("is online");
    let proxy = ServiceProxy::start_with(&laptop, DEVICE, "0=web", &[]);
    let mut held = proxy.connect();
    is_alive(&mut held);
    hub.ask(&["service", "set", "alice", "--max-streams", "1"]);
    check("web").fails(
        "stream",
        RefusalKind::StreamLimitReached,
        "this service has as many streams as it may have",
        "close some of them",
    );
    hub.ask(&["service", "set", "alice", "--max-streams", "any"]);
    hub.process.signal("TERM");
    proxy.process.wait_line("the hub is shutting down or restarting");
    check("web").fails("stream", RefusalKind::Draining, "shutting down", "try again shortly");
    let of_hub = CheckReport::by(hub.machine(), &["hub", "check"]);
    assert_eq!(of_hub.hop("hub")["word"], RefusalKind::Draining.row().label, "{:#}", of_hub.0);
}

#[test]
fn one_working_address_of_a_name_is_enough_and_no_route_is_reported() {
    let [near, far] = NetNs::two();
    for (netns, address) in [(&near, "fd00::1/64"), (&far, "fd00::2/64")] {
        netns.run(&format!("ip address add {address} dev veth nodad"));
    }
    let names = "10.0.0.9 hub.test\\n10.0.0.1 hub.test\\nfd00::1 six.test\\n203.0.113.1 nowhere.test\\n";
    far.run(&format!(
        "mount -t tmpfs names /mnt && printf '{names}' > /mnt/hosts && mount --bind /mnt/hosts /etc/hosts"
    ));
    far.run("iptables -A OUTPUT -d 10.0.0.9 -j DROP");
    let laptop = far.machine();
    let hub = Hub::start_at(&near.machine(), "[::]:0", &["--hostname", "hub.test", "--hostname", "six.test"]);
    laptop.ask(&["join", &hub.service_link("alice")]);
    let some = CheckReport::on(&laptop, &[]);
    some.is_well(&HUB_PATH);
    assert_eq!(some.hop("tcp")["at"], format!("10.0.0.1:{}", hub.port));
    let six = CheckReport::on(&laptop, &["--hub", &format!("six.test:{}", hub.port)]);
    six.is_well(&HUB_PATH);
    assert_eq!(six.hop("tcp")["at"], format!("[fd00::1]:{}", hub.port));
    let nowhere = CheckReport::on(&laptop, &["--hub", "nowhere.test"]);
    nowhere.fails("tcp", RefusalKind::HubUnreachable, "Network is unreachable", "this machine has no route");
    let zero = CheckReport::on(&laptop, &["--hub", "0.0.0.0:1"]);
    zero.fails("tcp", RefusalKind::HubUnreachable, "(0.0.0.0:1: Connection refused", "check that the hub is running");
}

#[test]
fn a_machine_without_a_local_port_or_address_is_not_told_that_the_host_is_wrong() {
    const PORTS: usize = 20;
    let [near, far] = NetNs::two();
    let (hub, device) = (Hub::start_at(&near.machine(), "10.0.0.1:0", &["--hostname", "10.0.0.1"]), far.machine());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    far.run(&format!("sysctl -w net.ipv4.ip_local_port_range='40000 {}'", 40_000 + PORTS - 1));
    far.run("sysctl -w net.ipv6.conf.lo.disable_ipv6=1");
    let target = far.enter(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let address = target.local_addr().unwrap();
    let held: Vec<_> = far.enter(|| (0..PORTS * 2).map_while(|_| TcpStream::connect(address).ok()).collect());
    assert!(held.len() <= PORTS, "{}", held.len());
    let busy = CheckReport::on(&device, &["--forward", &format!("web={address}")]);
    busy.fails("target", RefusalKind::DeviceBusy, "no local port is free", "close some streams");
    drop(held);
    let absent = CheckReport::on(&device, &["--forward", "web=[::1]:9"]);
    absent.fails("target", RefusalKind::TargetUnreachable, "this machine has no address from which to reach it", "");
    let far_hub = CheckReport::on(&device, &["--hub", "[::1]:9"]);
    far_hub.fails("tcp", RefusalKind::HubUnreachable, "no address from which to reach it", "on this machine");
}

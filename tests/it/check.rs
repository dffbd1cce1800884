//! `devstream check` on each staged failure: hop, cause, advice and exit code.

mod wrong_servers;

use std::fs;

use devstream::proto::refusal::RefusalKind;
use serde_json::Value;

use crate::support::DEVICE;
use crate::support::certificates::{Authority, Files, NAME};
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::netns::NetNs;
use crate::support::process::Process;
use crate::support::proxies::{PASSWORD, Proxy, USER};
use crate::support::roles::{Agent, Hub};
use crate::support::targets::{Target, closed_port};

/// The hops to a hub without a proxy.
const HUB_PATH: [&str; 6] = ["identity", "dns", "tcp", "tls", "authentication", "clock"];

/// Report of `check` on a machine.
struct CheckReport(Value);

impl CheckReport {
    fn on(machine: &Machine, arguments: &[&str]) -> Self {
        Self::by(machine, &[&["check"], arguments].concat())
    }

    fn by(machine: &Machine, arguments: &[&str]) -> Self {
        let finished = machine.run(&[arguments, &["--json"]].concat());
        let found: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}"));
        assert_eq!(found["exitCode"], finished.code.unwrap(), "{finished:?}");
        assert_eq!(found["ok"], finished.code == Some(0));
        assert!(finished.stderr.is_empty() && !finished.stdout.contains(PASSWORD), "{finished:?}");
        Self(found)
    }

    fn hops(&self) -> impl Iterator<Item = &Value> {
        self.0["hops"].as_array().unwrap().iter()
    }

    fn hop(&self, name: &str) -> &Value {
        self.hops().find(|hop| hop["hop"] == name).unwrap_or_else(|| panic!("no {name}: {:#}", self.0))
    }

    /// Asserts that exactly these hops passed.
    fn is_well(&self, hops: &[&str]) {
        let found: Vec<_> =
            self.hops().map(|hop| (hop["hop"].as_str().unwrap(), hop["state"].as_str().unwrap())).collect();
        let wanted: Vec<_> = hops.iter().map(|hop| (*hop, "good")).collect();
        assert_eq!(found, wanted, "{:#}", self.0);
        assert_eq!(self.0["exitCode"], 0);
    }

    /// Asserts that all hops passed but the last, which failed like this.
    fn fails(&self, hop: &str, kind: RefusalKind, cause: &str, advice: &str) {
        let last = self.hops().last().unwrap();
        assert_eq!((&last["hop"], &last["state"]), (&hop.into(), &"failed".into()), "{:#}", self.0);
        assert_eq!(
            (&last["word"], &self.0["exitCode"]),
            (&kind.row().label.into(), &kind.row().exit.into()),
            "{:#}",
            self.0
        );
        assert!(self.hops().filter(|hop| hop["state"] == "failed").count() == 1, "{:#}", self.0);
        assert!(last["cause"].as_str().unwrap().contains(cause), "no '{cause}': {last:#}");
        assert!(last["advice"].as_str().unwrap().contains(advice), "no '{advice}': {last:#}");
    }
}

#[test]
fn check_names_the_failing_hop_to_the_hub() {
    let [near, far] = NetNs::two();
    far.run("mount -t tmpfs names /mnt && echo 'nameserver 10.0.0.1' > /mnt/resolv.conf");
    far.run("mount --bind /mnt/resolv.conf /etc/resolv.conf");
    far.run("printf '10.0.0.1 hub.test\n10.0.0.9 dead.test\n' > /mnt/hosts && mount --bind /mnt/hosts /etc/hosts");
    near.run(
        "mount -t tmpfs names /mnt && echo '10.0.0.1 hub.test' > /mnt/hosts && mount --bind /mnt/hosts /etc/hosts",
    );
    far.run("iptables -A OUTPUT -p udp --dport 53 -j REJECT && iptables -A OUTPUT -d 10.0.0.9 -j DROP");
    let (squid, laptop) = (Proxy::squid(&near), far.machine());
    let hub = Hub::start_at(&near.machine(), "10.0.0.1:0", &["--hostname", "hub.test"]);
    laptop.ask(&["join", &hub.service_link("alice")]);
    let login = laptop.home().join("login").display().to_string();
    let wrong = format!("{login}-wrong");
    far.run(&format!("umask 077 && echo '{USER}:{PASSWORD}' > {login} && echo '{USER}:wrong' > {wrong}"));
    let via = format!("http://{}", squid.address());

    CheckReport::on(&laptop, &[]).is_well(&HUB_PATH);
    let through = CheckReport::on(&laptop, &["--via", &via, "--via-login", &login]);
    through.is_well(&["identity", "proxyDns", "proxyTcp", "proxy", "tls", "authentication", "clock"]);
    for hop in through.hops().filter(|hop| !["identity", "clock"].contains(&hop["hop"].as_str().unwrap())) {
        assert!(hop["milliseconds"].is_f64(), "{hop}");
    }
    let tls = through.hop("tls");
    assert!(tls["at"].as_str().unwrap().contains("X25519MLKEM768"), "{tls}");
    assert!(tls["facts"]["expires"].is_string() && tls["facts"]["trust"] == "the hub's pin", "{tls}");

    let watched = "devstream check --hub dead.test".replace("devstream", DEVSTREAM);
    let terminal = Process::start(laptop.command("script").args(["-qec", &watched, "/dev/null"]).env("TERM", "xterm"));
    let piped = laptop.start(&["check", "--hub", "dead.test"]);
    piped.wait_line("dns             ok");
    assert!(piped.is_running(), "each hop is printed once it is done: {piped}");
    let dead = CheckReport::on(&laptop, &["--hub", "dead.test"]);
    dead.fails("tcp", RefusalKind::HubUnreachable, "no answer in 6 s", "dropped");
    assert!(dead.hop("tcp")["milliseconds"].as_f64().unwrap() > 5_000.0, "the whole timeout: {:#}", dead.0);
    let [terminal, piped] = [terminal, piped].map(Process::finish);
    assert!(!piped.stdout.contains('\u{1b}') && piped.stderr.is_empty(), "{piped:?}");
    // The current hop is redrawn with its elapsed seconds, and replaced by its result.
    let [row, result] = ["tcp ", "tcp             FAILED"].map(|text| terminal.stdout.rfind(text));
    assert!(row == result && row.is_some(), "{terminal:?}");
    for part in ["dns             ok", "2s  dead.test", "4s  dead.test"] {
        assert!(terminal.stdout.contains(part), "no '{part}' in {terminal:?}");
    }
    for (arguments, hop, cause, advice) in [
        (&["--hub", "nosuch.test"][..], "dns", "cannot resolve nosuch.test", "this network's DNS"),
        (&["--hub", "hub.test:1"], "tcp", "Connection refused", "check that the hub is running"),
        (&["--via", &via], "proxy", "407", "pass it with --via-login FILE"),
        (&["--via", &via, "--via-login", &wrong], "proxy", "rejected the user", "correct USER:PASSWORD in that file"),
        (&["--via", "http://10.0.0.1:1"], "proxyTcp", "Connection refused", "check that the proxy is running"),
        (&["--via", "http://nosuch.test:1"], "proxyDns", "nosuch.test", "check the proxy's name"),
    ] {
        CheckReport::on(&laptop, arguments).fails(hop, RefusalKind::HubUnreachable, cause, advice);
    }
    let second = CheckReport::on(&laptop, &["--hub", "hub.test:1", "--hub", &format!("hub.test:{}", hub.port)]);
    let states = second.hops().map(|hop| hop["state"].as_str().unwrap()).collect::<Vec<_>>().join(" ");
    assert_eq!(states, "good good warning good good good good good", "{:#}", second.0);
    assert!(second.hop("tcp")["cause"].as_str().unwrap().contains("hub.test:1 at 10.0.0.1:1: Connection refused"));

    let text = laptop.run(&["check", "--hub", "hub.test:1"]);
    assert_eq!((text.code, text.stderr.as_str()), (Some(RefusalKind::HubUnreachable.row().exit.into()), ""));
    for part in
        ["dns             ok", "tcp             FAILED", "cause: the hub cannot be reached", "next: check that the hub"]
    {
        assert!(text.stdout.contains(part), "no '{part}' in {text:?}");
    }
}

#[test]
fn check_distinguishes_another_hub_an_expired_certificate_and_a_wrong_clock() {
    let (hub, other) = (Hub::start(&Machine::new()), Hub::start(&Machine::new()));
    let laptop = Machine::new();
    laptop.ask(&["join", &hub.service_link("alice")]);

    let (untrusted, another) = (RefusalKind::CertificateNotTrusted, "another devstream hub's authority");
    CheckReport::on(&laptop, &["--hub", &other.address()]).fails(
        "tls",
        untrusted,
        another,
        "another hub answers there",
    );
    let clock = RefusalKind::ClockOrInspection;
    let ahead = CheckReport::on(&laptop.clone().off_by("+1y"), &[]);
    ahead.fails("tls", clock, "clock is 365 days ahead of the hub's", "timedatectl");
    // A pinned certificate has no earliest date, so the check passes.
    let device = Machine::new();
    device.ask(&["join", &hub.device_link(DEVICE)]);
    for machine in [&laptop, &device] {
        // Ten hours more than a year: the hub is a moment further when it is asked.
        let behind = CheckReport::on(&machine.clone().off_by("-8770h"), &[]);
        let hop = behind.hop("clock");
        assert_eq!((&behind.0["exitCode"], &hop["state"]), (&0.into(), &"warning".into()), "{:#}", behind.0);
        assert!(hop["cause"].as_str().unwrap().contains("365 days behind the hub's"), "{hop:#}");
    }
    CheckReport::on(&device.off_by("+1y"), &[]).fails(
        "tls",
        clock,
        "clock is 365 days ahead of the hub's",
        "timedatectl",
    );

    let identity = laptop.home().join(".local/share/devstream/service/identity.toml");
    let text = fs::read_to_string(&identity).unwrap();
    let pin = text.lines().find(|line| line.starts_with("pin")).unwrap();
    fs::write(&identity, text.replace(pin, &format!("pin = \"sha256:{}\"", "A".repeat(43)))).unwrap();
    CheckReport::on(&laptop, &[]).fails("tls", untrusted, another, "get a new join link");
}

#[test]
fn check_advises_the_hubs_operator_to_renew_an_expired_certificate() {
    let (machine, authority) = (Machine::new(), Authority::new());
    let ca = authority.file(&machine);
    let [machine, laptop] = [machine, Machine::new()].map(|machine| machine.with("SSL_CERT_FILE", &ca));
    let files = Files::in_directory(machine.home());
    let arguments = [&["--hostname", NAME], files.arguments().as_slice()].concat();
    files.write(&authority.certify(NAME));
    let hub = Hub::start_with(&machine, &arguments);
    laptop.ask(&["join", &hub.service_link("alice")]);
    let well = CheckReport::on(&laptop, &[]);
    well.is_well(&HUB_PATH);
    assert_eq!(well.hop("tls")["facts"]["trust"], "public authorities");
    for (off, words) in [("-1y", "clock is 365 days behind the hub's"), ("+2y", "clock is 730 days ahead of the hub's")]
    {
        let off = CheckReport::on(&laptop.clone().off_by(off), &[]);
        off.fails("tls", RefusalKind::ClockOrInspection, words, "timedatectl");
    }
    let port = hub.port;
    drop(hub);

    files.write(&authority.certify_for(NAME, -1));
    let _hub = Hub::start_on(&machine, port, &arguments);
    let checked = CheckReport::on(&laptop, &[]);
    checked.fails("tls", RefusalKind::ClockOrInspection, "by the hub's clock too", "must renew its certificate");
    let of_hub = CheckReport::by(&machine, &["hub", "check"]);
    let certificate = of_hub.hop("certificate");
    assert_eq!((&certificate["state"], &certificate["at"]), (&"failed".into(), &"pem".into()), "{:#}", of_hub.0);
    assert!(certificate["advice"].as_str().unwrap().contains("renew it"), "{certificate:#}");
}

#[test]
fn check_distinguishes_device_stream_and_target_failures() {
    let (greeting, silent) = (Target::greeting_then_reading("SSH-2.0-Test\r\nmore"), Target::sink());
    let mute = Target::greeting_then_reading("");
    let hub = Hub::start(&Machine::new());
    let [device, laptop] = [(); 2].map(|()| Machine::new());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    laptop.ask(&["join", &hub.service_link("alice")]);
    let forwards = [
        format!("greeting={}", greeting.port),
        format!("closed={}", closed_port()),
        format!("ssh={}", silent.port),
        format!("web={}", silent.port),
        format!("mute={}", mute.port),
    ];
    let agent = Agent::start(&device, &forwards.each_ref().map(String::as_str));
    let check = |arguments: &[&str]| CheckReport::on(&laptop, &[&[DEVICE], arguments].concat());
    let all = [&HUB_PATH[..], &["device", "stream", "endToEnd", "target"]].concat();

    let well = check(&[]);
    well.is_well(&all);
    assert_eq!(well.hop("target")["facts"]["says"], "SSH-2.0-Test");
    assert_eq!(well.hop("device")["facts"]["offers"], "greeting closed ssh web mute");
    // The logs show a closed stream, not a lost one.
    agent.process.wait_line("greeting: closed");
    let ended = hub.wait_activity("streamClosed", None);
    assert_eq!((&ended["resultType"], &ended["properties"]["reason"]), (&"closed".into(), &"closed".into()), "{ended}");
    let waiting = check(&["--stream", "web"]);
    waiting.is_well(&all);
    let says = "nothing in 1 s; it may wait for the client";
    assert_eq!(waiting.hop("target")["facts"]["says"], says);

    for (stream, hop, kind, cause, advice) in [
        ("ssh", "target", RefusalKind::TargetTimedOut, "such servers send a banner", "firewall"),
        ("closed", "target", RefusalKind::TargetRefused, "Connection refused", "check that the service"),
        ("mute", "target", RefusalKind::TargetRefused, "closed it at once", "check that the service"),
        ("nosuch", "stream", RefusalKind::StreamNotOffered, "offered: greeting, closed", "--stream NAME"),
    ] {
        check(&["--stream", stream]).fails(hop, kind, cause, advice);
    }
    CheckReport::on(&laptop, &["--device", "pi-43"]).fails(
        "device",
        RefusalKind::UnknownDevice,
        "",
        "devstream devices",
    );
    drop(agent);
    hub.wait_activity("deviceDisconnected", None);
    check(&[]).fails("device", RefusalKind::DeviceOffline, "last seen", "on the device shows whether its agent runs");
    let on_device = CheckReport::on(&device, &[]);
    let agent = on_device.hop("agent");
    let cause = format!("no device-agent of {DEVICE} is running on this machine, as far as this user can see");
    assert_eq!((&agent["state"], &agent["cause"]), (&"warning".into(), &cause.into()), "{agent:#}");
    assert!(agent["advice"].as_str().unwrap().contains("devstream device-agent --forward"), "{agent:#}");
    hub.ask(&["service", "disable", "alice"]);
    check(&[]).fails("authentication", RefusalKind::Disabled, "", "enable it again");
    hub.ask(&["service", "remove", "alice"]);
    check(&[]).fails("authentication", RefusalKind::AuthenticationFailed, "", "get a new join link");
    CheckReport::on(&Machine::new(), &["--device", DEVICE]).fails(
        "identity",
        RefusalKind::NotJoined,
        "",
        "devstream hub service add",
    );
}

#[test]
fn check_asks_for_a_stream_that_the_service_may_reach() {
    let (hub, device, laptop, target) = (Hub::start(&Machine::new()), Machine::new(), Machine::new(), Target::echo());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    laptop.ask(&["join", &hub.service_link_with("alice", &["--device", "*", "--stream", "web"])]);
    let port = target.port;
    let _agent = Agent::start(&device, &[&format!("ssh={port}"), &format!("web={port}")]);
    let checked = CheckReport::on(&laptop, &[DEVICE]);
    checked.is_well(&[&HUB_PATH[..], &["device", "stream", "endToEnd", "target"]].concat());
    assert_eq!(checked.hop("stream")["at"], "pi-42/web", "not its first, which is for others");
    hub.ask(&["service", "set", "alice", "--stream", "db"]);
    let checked = CheckReport::on(&laptop, &[DEVICE]);
    assert_eq!(checked.hop("device")["facts"]["offers"], "nothing to this service");
    checked.fails(
        "stream",
        RefusalKind::StreamNotOffered,
        "offered: nothing",
        "devstream hub service set NAME --stream",
    );
}

#[test]
fn check_on_a_device_tests_its_path_and_targets_and_leaves_it_online() {
    let (greeting, closed) = (Target::greeting_then_reading("hello\n"), closed_port());
    let (hub, device) = (Hub::start(&Machine::new()), Machine::new());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    let agent = Agent::start(&device, &["22"]);
    CheckReport::on(&device, &[]).is_well(&HUB_PATH);
    let forward = format!("hi={}", greeting.port);
    let typed = CheckReport::on(&device, &["--forward", &forward]);
    typed.is_well(&[&HUB_PATH[..], &["target"]].concat());
    assert_eq!(typed.hop("target")["facts"]["says"], "hello");
    assert_eq!(typed.hop("authentication")["at"], format!("device {DEVICE} at {}", hub.address()));

    let config = device.home().join(".config/devstream");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.toml"), format!("[device-agent]\nforward = ['{forward}', 'shut={closed}']\n"))
        .unwrap();
    CheckReport::on(&device, &[]).fails(
        "target",
        RefusalKind::TargetRefused,
        &closed.to_string(),
        "check that the service",
    );
    let connected = || hub.activity().iter().filter(|entry| entry["operationName"] == "deviceConnected").count();
    assert_eq!(connected(), 1, "a check displaces no agent");
    assert!(
        agent.process.is_running() && !agent.process.log().contains(RefusalKind::Displaced.row().sentence),
        "{}",
        agent.process
    );

    hub.ask(&["device", "remove", DEVICE]);
    fs::remove_file(config.join("config.toml")).unwrap();
    CheckReport::on(&device, &[]).fails("authentication", RefusalKind::AuthenticationFailed, "", "get a new join link");
}

#[test]
fn hub_check_tests_itself_and_its_name_as_clients_see_it() {
    const HOPS: [&str; 7] = ["hub", "certificate", "dns", "tcp", "tls", "descriptors", "disk"];
    let [near, _far] = NetNs::two();
    near.run(
        "mount -t tmpfs names /mnt && echo '127.0.0.1 localhost' > /mnt/hosts && mount --bind /mnt/hosts /etc/hosts",
    );
    near.run("echo 'nameserver 127.0.0.1' > /mnt/resolv.conf && mount --bind /mnt/resolv.conf /etc/resolv.conf");
    let machine = near.machine();
    let hub = Hub::start_at(&machine, "10.0.0.1:0", &["--hostname", "hub.test"]);
    let check = |machine: &Machine| CheckReport::by(machine, &["hub", "check"]);
    let unnamed = check(&machine);
    assert_eq!(unnamed.0["exitCode"], RefusalKind::HubUnreachable.row().exit, "{:#}", unnamed.0);
    assert!(unnamed.hop("dns")["cause"].as_str().unwrap().contains("cannot resolve hub.test"), "{:#}", unnamed.0);

    near.run("echo '10.0.0.1 hub.test' >> /mnt/hosts");
    let well = check(&machine);
    well.is_well(&HOPS);
    assert_eq!(well.hop("hub")["facts"]["listening"], format!("10.0.0.1:{}", hub.port));
    assert!(well.hop("certificate")["facts"]["names"].as_str().unwrap().contains("hub.test"));
    let early = check(&machine.clone().off_by("-1y"));
    assert_eq!(early.0["exitCode"], RefusalKind::ClockOrInspection.row().exit, "{:#}", early.0);
    assert!(early.hop("certificate")["advice"].as_str().unwrap().contains("timedatectl"), "{:#}", early.0);

    hub.process.kill();
    check(&machine).fails("hub", RefusalKind::HubUnreachable, "no hub runs with the state directory", "devstream hub");
}

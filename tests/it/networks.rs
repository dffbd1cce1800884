//! Networks with outbound access through a proxy only, and hubs with several addresses.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use devstream::proto::refusal::RefusalKind;

use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::netns::NetNs;
use crate::support::process::{Finished, Process};
use crate::support::proxies::{PASSWORD, Proxy, USER};
use crate::support::roles::{Hub, OneMachine, ServiceProxy, assert_is};
use crate::support::targets::{Target, closed_port, is_alive};
use crate::support::{DEVICE, poll};

const NAME: &str = "hub.test";

/// A network whose machines know neither the hub's name nor a way to the hub, and the network where both are known,
/// with a proxy between.
pub(crate) struct Fixture {
    pub(crate) target: Target,
    pub(crate) proxy: Proxy,
    pub(crate) hub: Hub,
    pub(crate) far: NetNs,
    pub(crate) near: NetNs,
}

impl Fixture {
    fn new(start: fn(&NetNs) -> Proxy) -> Self {
        Self::with_hub(start, &[])
    }

    /// Starts with further arguments for the hub.
    pub(crate) fn with_hub(start: fn(&NetNs) -> Proxy, arguments: &[&str]) -> Self {
        let [near, far] = NetNs::two();
        near.run(&format!(
            "echo '10.0.0.1 {NAME}' > /tmp/names.$$ && mount --bind /tmp/names.$$ /etc/hosts && rm /tmp/names.$$"
        ));
        let proxy = start(&near);
        let hub = Hub::start_at(&near.machine(), "10.0.0.1:0", &[&["--hostname", NAME], arguments].concat());
        // Every DNS query arrives here, and is counted.
        far.run("mount -t tmpfs names /mnt && echo 'nameserver 10.0.0.1' > /mnt/resolv.conf");
        far.run("mount --bind /mnt/resolv.conf /etc/resolv.conf");
        far.run("iptables -A OUTPUT -p udp --dport 53 -j REJECT && iptables -A OUTPUT -p tcp --dport 53 -j REJECT");
        far.run(&format!("iptables -A OUTPUT -p tcp ! --dport {} -d 10.0.0.1 -j REJECT", proxy.port));
        Self { target: far.enter(Target::echo), proxy, hub, far, near }
    }

    /// A machine behind the proxy, with its credentials in a file.
    pub(crate) fn machine(&self) -> (Machine, String) {
        let machine = self.far.machine();
        let login = login_file(&machine, &format!("{USER}:{PASSWORD}\n"));
        (machine, login)
    }

    pub(crate) fn connect(&self, proxy: &ServiceProxy) -> TcpStream {
        self.far.enter(|| proxy.connect())
    }

    /// Joins a device and an operator, both behind the proxy, and opens a stream between them, at full verbosity.
    fn works(&self, device: &Machine, laptop: &Machine, way: &[&str]) -> Everything {
        let join = |machine: &Machine, link: &str| machine.run(&[&["join", "-vv", link], way].concat());
        let joined = [join(device, &self.hub.device_link(DEVICE)), join(laptop, &self.hub.service_link("bob"))];
        assert!(joined.iter().all(|joined| joined.code == Some(0)), "{joined:?}");
        let forward = self.target.port.to_string();
        let agent = device.start(&[&["device-agent", "-vv", "--forward", &forward], way].concat());
        agent.wait_line("is online");
        let proxy = ServiceProxy::start_with(laptop, DEVICE, "0", &[&["-vv"], way].concat());
        // The second stream uses standbys.
        for _ in 0..2 {
            is_alive(&mut self.connect(&proxy));
        }
        let devices = laptop.ask(&[&["devices"], way].concat());
        assert!(devices.contains(DEVICE), "{devices}");
        let rejected = self.far.run("iptables -L OUTPUT -v -n -x");
        let counts: Vec<_> = rejected.lines().skip(2).filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(counts, ["0", "0", "0"], "a name was looked up, or the hub dialled, from the far side:\n{rejected}");
        Everything { joined, agent, proxy }
    }
}

/// Commands that ran, and run, on the remote side.
struct Everything {
    joined: [Finished; 2],
    agent: Process,
    proxy: ServiceProxy,
}

/// Writes a file with mode 600.
pub(crate) fn login_file(machine: &Machine, text: &str) -> String {
    let path = machine.home().join("login");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

#[test]
fn everything_works_through_squid_with_credentials_and_the_password_appears_nowhere() {
    let fixture = Fixture::new(Proxy::squid);
    let ((device, login), (laptop, _)) = (fixture.machine(), fixture.machine());
    let via = format!("http://{}", fixture.proxy.address());
    let way = ["--via", &via, "--via-login", &login];
    let Everything { joined, agent, proxy } = fixture.works(&device, &laptop, &way);

    // The proxy restarts: streams through it resume through it.
    let mut local = fixture.connect(&proxy);
    is_alive(&mut local);
    let before = proxy.process.lines();
    fixture.proxy.process.kill();
    let _proxy = Proxy::squid_on(&fixture.near, fixture.proxy.port);
    proxy.process.wait_line_after(before, "resumed after");
    is_alive(&mut local);

    let mut said = joined.map(|joined| joined.stdout + &joined.stderr).concat();
    assert!(agent.log().contains("Proxy 10.0.0.1:"), "each hop is told: {agent}");
    for process in [&agent, &proxy.process] {
        said += &process.log();
        for file in ["cmdline", "environ"] {
            said += &String::from_utf8_lossy(&fs::read(process.proc().join(file)).unwrap());
        }
    }
    said += &fixture.hub.process.log();
    for secret in [PASSWORD, "Proxy-Authorization", "YWxpY2U6"] {
        assert_eq!(said.lines().find(|line| line.contains(secret)), None, "{secret}");
    }
}

#[test]
fn each_failing_hop_is_named_with_advice() {
    let fixture = Fixture::new(Proxy::squid);
    let (laptop, login) = fixture.machine();
    let via = format!("http://{}", fixture.proxy.address());
    let link = fixture.hub.service_link("bob");
    let way = ["--via", &via, "--via-login", &login];
    laptop.ask(&[&["join", &link], &way[..]].concat());
    let devices = |way: &[&str], words: &[&str]| {
        let finished = laptop.run(&[&["devices"], way].concat());
        let is_local = words[0].starts_with("cannot use");
        assert_ne!(is_local, finished.stderr.contains("cannot be reached"), "{finished:?}");
        assert_eq!(finished.code, Some(if is_local { 1 } else { 25 }), "{finished:?}");
        assert!(words.iter().all(|words| finished.stderr.contains(words)), "{words:?}: {finished:?}");
        assert!(!finished.stderr.contains(PASSWORD), "{finished:?}");
    };
    let named = format!("the proxy {} ", fixture.proxy.address());
    devices(&["--via", &via], &[&named, "answered 407 Proxy Authentication Required", "--via-login FILE"]);
    devices(
        &["--via", &via, "--via-login", "missing"],
        &["cannot use --via-login: cannot read missing: ", "No such file"],
    );
    let other = fixture.far.machine();
    let wrong = login_file(&other, &format!("{USER}:wrong"));
    devices(&["--via", &via, "--via-login", &wrong], &[&named, "407", "rejected the user and password"]);
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o644)).unwrap();
    devices(&["--via", &via, "--via-login", &wrong], &["cannot use --via-login", "chmod 600"]);
    let closed = format!("{NAME}:1");
    let elsewhere = [&way[..], &["--hub", &closed]].concat();
    devices(&elsewhere, &[&named, "cannot reach the hub: 503"]);
    devices(&["--via", "http://nosuchproxy.test:1"], &["cannot resolve nosuchproxy.test, the proxy's name"]);
    devices(&["--via", "direct"], &["cannot resolve hub.test"]);
    fixture.proxy.process.kill();
    devices(&way, &[&format!("the proxy {}: ", fixture.proxy.address()), "Connection refused"]);
}

#[test]
fn a_socks_proxy_with_a_login_is_found_in_the_environment() {
    let fixture = Fixture::new(Proxy::microsocks);
    let url = format!("socks5h://{USER}:{PASSWORD}@{}", fixture.proxy.address());
    let [device, laptop] =
        [(); 2].map(|()| fixture.far.machine().with("ALL_PROXY", &url).with("NO_PROXY", "other.test"));
    let Everything { agent, .. } = fixture.works(&device, &laptop, &[]);
    assert!(!agent.log().contains(PASSWORD), "{agent}");

    let excepted = laptop.clone().with("no_proxy", "x,.test").run(&["devices"]);
    assert_is(&excepted, RefusalKind::HubUnreachable);
    assert!(excepted.stderr.contains("cannot resolve hub.test"), "{excepted:?}");
    let wrong = url.replace(PASSWORD, "wrong");
    let refused = laptop.clone().with("https_proxy", &wrong).run(&["devices"]);
    assert!(refused.stderr.contains("rejected the user and password"), "{refused:?}");
    let broken = laptop.with("https_proxy", &url.replace("socks5h", "socks4")).run(&["devices"]);
    assert!(broken.stderr.contains("https_proxy: ") && !broken.stderr.contains(PASSWORD), "{broken:?}");
}

#[test]
fn ssh_d_works_as_a_socks_proxy() {
    let fixture = Fixture::new(Proxy::ssh);
    let [device, laptop] = [(); 2].map(|()| fixture.far.machine());
    let via = format!("socks5h://{}", fixture.proxy.address());
    fixture.works(&device, &laptop, &["--via", &via]);
}

#[test]
fn a_password_on_the_command_line_or_in_the_file_is_refused_and_not_repeated() {
    let machine = Machine::new();
    let url = format!("http://{USER}:{PASSWORD}@squid.test:3128");
    let refused = |finished: Finished| {
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert!(finished.stderr.contains("--via-login FILE") && finished.stderr.contains("chmod 600"), "{finished:?}");
        assert!(!finished.stderr.contains(PASSWORD), "{finished:?}");
    };
    let join = "devstream://hub.test/pi-42?code=x";
    let devices: &[&str] = &["devices", "--via", &url];
    for arguments in [devices, &["device-agent", "--forward", "22", "--via", &url], &["join", join, "--via", &url]] {
        refused(machine.run(arguments));
    }
    refused(machine.clone().with("DEVSTREAM_VIA", &url).run(&["devices"]));
    let config = machine.home().join("config.toml");
    fs::write(&config, format!("[device-agent]\nforward = 22\nvia = '{url}'\n")).unwrap();
    let finished = machine.run(&["device-agent", "--config", &config.display().to_string()]);
    assert!(finished.stderr.contains("config.toml:3:7: "), "{finished:?}");
    refused(finished);
    let help = machine.with("DEVSTREAM_VIA", &url).run(&["devices", "--help"]);
    assert!(help.stdout.contains("--via <URL>") && !help.stdout.contains(PASSWORD), "{help:?}");
}

#[test]
fn an_installed_service_gets_its_proxys_credentials() {
    let machine = Machine::new();
    let way = ["--via", "http://squid.test:3128", "--via-login", "/etc/devstream/100% login"];
    let install = ["service", "install", "device-agent", "--print", "--program", DEVSTREAM, "--", "--forward", "22"];
    let unit = machine.ask(&[&install[..], &way].concat());
    assert!(unit.contains("\nLoadCredential=via-login:/etc/devstream/100%% login\n"), "{unit}");
    assert!(unit.contains("--via http://squid.test:3128 --via-login "), "{unit}");
    let hub = ["service", "install", "hub", "--print", "--program", DEVSTREAM, "--", "--hostname", NAME, "--acme"];
    let unit = machine.ask(&[&hub[..], &way].concat());
    assert!(unit.contains("\nLoadCredential=via-login:/etc/devstream/100%% login\n"), "{unit}");
    let relative = machine.run(&[&install[..], &["--via-login", "login"]].concat());
    assert!(relative.stderr.contains("must be an absolute path"), "{relative:?}");

    let with_proxy = machine.clone().with("HTTPS_PROXY", "http://squid.test:3128");
    assert!(with_proxy.run(&install).stderr.contains("services do not see HTTPS_PROXY"));
    assert_eq!(with_proxy.run(&[&install[..], &way].concat()).stderr, "");

    // As a service manager passes credentials: the file itself is not readable there.
    let credentials = machine.home().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("via-login"), "no colon").unwrap();
    fs::set_permissions(credentials.join("via-login"), fs::Permissions::from_mode(0o600)).unwrap();
    let service = machine.with("CREDENTIALS_DIRECTORY", &credentials.display().to_string());
    let said = service.run(&[&["devices"], &way[..]].concat()).stderr;
    assert!(said.contains("it must be one line, USER:PASSWORD"), "{said}");
}

#[test]
fn of_several_hub_addresses_the_one_that_answers_is_used_and_remembered() {
    let target = Target::echo();
    let OneMachine { hub, machine, agent, proxy } = OneMachine::forwarding(target.port);
    drop((agent, proxy));
    let dead = format!("127.0.0.1:{}", closed_port());
    let hubs = ["--hub", &dead, "--hub", &hub.address()];
    let forward = format!("target={}", target.port);
    let agent = machine.start(&[&["device-agent", "-vv", "--id", DEVICE, "--forward", &forward], &hubs[..]].concat());
    agent.wait_line("is online");
    let both = format!("{dead},{}", hub.address());
    let proxy = ServiceProxy::start_with(&machine, DEVICE, "0", &["-vv", "--hub", &both]);
    // Its question about the device; streams beside it would try the first address too.
    proxy.process.wait_line("reached the hub");
    is_alive(&mut proxy.connect());
    is_alive(&mut proxy.connect());
    for process in [&agent, &proxy.process] {
        let tried = || process.log().lines().filter(|line| line.contains(&format!("Tcp {dead}"))).count();
        poll("a connection that says how it was made", || (tried() > 0).then_some(()));
        assert_eq!(tried(), 1, "once, and then the other one is preferred: {process}");
    }

    let nowhere = machine.run(&["devices", "--hub", &dead, "--hub", "127.0.0.1:1"]);
    assert_is(&nowhere, RefusalKind::HubUnreachable);
    assert!(nowhere.stderr.contains(&dead) && nowhere.stderr.contains("127.0.0.1:1"), "{nowhere:?}");
}

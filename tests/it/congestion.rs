//! Congestion control of tunnel connections, on a machine with another default.

use std::fs;

use devstream::proto::admin::HubStatus;

use crate::support::netns::NetNs;
use crate::support::roles::{Agent, Hub, ServiceProxy};
use crate::support::targets::{Target, is_alive};

/// Congestion control of every kernel.
const SYSTEMS: &str = "reno";

/// Congestion control that devstream selects where the kernel has it.
fn best() -> &'static str {
    let available = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control").unwrap();
    if available.split_whitespace().any(|name| name == "bbr") { "bbr" } else { SYSTEMS }
}

#[test]
fn only_tunnel_connections_use_bbr() {
    let netns = NetNs::new();
    netns.run(&format!("echo {SYSTEMS} > /proc/sys/net/ipv4/tcp_congestion_control"));
    let (target, machine) = (netns.enter(Target::echo), netns.machine());
    let hub = Hub::start_with(&machine, &["--metrics", "127.0.0.1:0"]);
    let _agent = Agent::start(&machine, &[&target.port.to_string()]);
    let proxy = ServiceProxy::start(&machine);
    let mut local = netns.enter(|| proxy.connect());
    is_alive(&mut local);

    // One line per socket: state, addresses and congestion figures.
    let connections = netns.run("ss -HtinO state established");
    let of_port = |port: u16| {
        let end = format!("127.0.0.1:{port} ");
        connections.lines().filter(|line| line.contains(&end)).collect::<Vec<_>>()
    };
    let tunnel = of_port(hub.port);
    assert!(tunnel.len() >= 6, "a control connection and two legs have two ends each: {connections}");
    assert!(tunnel.iter().all(|line| line.contains(&format!(" {} ", best()))), "{connections}");
    let others = [of_port(target.port), of_port(proxy.port)].concat();
    assert_eq!(others.len(), 4, "{connections}");
    assert!(others.iter().all(|line| line.contains(&format!(" {SYSTEMS} "))), "{connections}");

    assert_eq!(hub.json::<HubStatus>(&["status"]).congestion_control.as_deref(), Some(best()));
    let text = hub.ask(&["status"]);
    assert!(text.lines().any(|line| line.starts_with("congestion") && line.ends_with(best())), "{text}");
    let monitor = hub.process.wait_line("hub: metrics on ");
    let metrics = netns.run(&format!("curl --silent {}", monitor.rsplit(' ').next().unwrap()));
    let line = format!("devstream_congestion_control_info{{algorithm=\"{}\"}} 1", best());
    assert!(metrics.contains(&line), "no {line} in {metrics}");
}

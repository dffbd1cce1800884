//! With everything logged that can be, no key, code or token is.

use std::fs;
use std::path::Path;

use crate::support::DEVICE;
use crate::support::machine::Machine;
use crate::support::process::Process;
use crate::support::raw::{Raw, RawDevice, Ticket};
use crate::support::roles::{Hub, ServiceProxy};
use crate::support::targets::{Target, is_alive};

#[test]
fn no_secret_is_logged_even_when_everything_is() {
    let target = Target::echo();
    let (hub_machine, device, laptop) = (Machine::new(), Machine::new(), Machine::new());
    let hub = Hub::start_with(&hub_machine, &["-vv"]);
    let links = [hub.device_link(DEVICE), hub.service_link("alice")];
    let joins = [device.run(&["join", "-vv", &links[0]]), laptop.run(&["join", "-vv", &links[1]])];
    let agent = device.start(&["device-agent", "-vv", "--forward", &format!("echo={}", target.port)]);
    agent.wait_line("is online");
    let proxy = ServiceProxy::start_with(&laptop, DEVICE, "0", &["-vv"]);
    is_alive(&mut proxy.connect());
    hub.wait_activity("streamClosed", None);

    assert!(agent.log().contains("debug: "), "more is logged than usual: {agent}");
    let mut logs = joins.map(|join| join.stderr).concat();
    logs.extend([&hub.process, &agent, &proxy.process].map(Process::log));
    let mut secrets = links.map(|link| link.split("code=").nth(1).expect("a code").to_owned()).to_vec();
    for machine in [&hub_machine, &device, &laptop] {
        secrets.extend(keys_below(&machine.home().join(".local/share/devstream")));
    }
    assert!(secrets.len() >= 5, "two codes, the hub's key, the device's and the service's");
    secrets.extend(["authorizationToken".into(), "Bearer ".into()]);
    for secret in secrets {
        let leak = logs.lines().find(|line| line.contains(&secret));
        assert_eq!(leak, None, "{secret}");
    }
}

#[test]
fn no_token_is_in_the_hubs_log_or_its_activity_log() {
    let hub = Hub::start_with(&Machine::new(), &["-vv"]);
    let mut device = RawDevice::online(Raw::join(&hub.device_link(DEVICE)), &["ssh"]);
    let alice = Raw::join(&hub.service_link("alice"));
    let asked = alice.open("ssh", &[]);
    let request = device.request();
    device.accept(&request);
    let tickets: [Ticket; 2] = [asked.answer().ticket(), (&request).into()];
    drop((alice.bring(&tickets[0]).expect("let in"), device.identity.bring(&tickets[1]).expect("let in")));
    hub.wait_activity("streamClosed", None);
    let everything = hub.process.log() + &hub.ask(&["logs"]) + &hub.ask(&["logs", "--json"]);
    for Ticket { token, .. } in tickets {
        let leak = everything.lines().find(|line| line.contains(&token));
        assert_eq!(leak, None, "{token}");
    }
}

/// The lines of every file that holds a key, without the ones that say so.
fn keys_below(folder: &Path) -> Vec<String> {
    let mut keys = Vec::new();
    for entry in fs::read_dir(folder).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            keys.extend(keys_below(&path));
        } else if entry.file_name().to_string_lossy().contains("key") {
            let text = fs::read_to_string(&path).expect("a key is text");
            keys.extend(text.lines().filter(|line| line.len() > 20 && !line.starts_with("---")).map(str::to_owned));
        }
    }
    keys
}

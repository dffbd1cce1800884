//! No key, code, token, password or stream content appears in any output, at full verbosity.

mod core_dump;
mod everything;
mod leaks;

use std::fs;

use devstream::proto::refusal::RefusalKind;

use self::everything::{Everything, WRONG};
use crate::networks::login_file;
use crate::support::DEVICE;
use crate::support::machine::Machine;
use crate::support::proxies::{PASSWORD, Proxy, USER};
use crate::support::raw::{RawClient, RawDevice, StreamGrant};
use crate::support::roles::Hub;

#[test]
fn a_secret_from_a_file_appears_nowhere() {
    let mut everything = Everything::behind(Proxy::squid, |machine, proxy, login| {
        machine.with("DEVSTREAM_VIA", &format!("http://{}", proxy.address())).with("DEVSTREAM_VIA_LOGIN", login)
    });
    let (laptop, unreachable) = (everything.laptop.clone(), RefusalKind::HubUnreachable.row().exit.into());
    // The file is in its home.
    let other = everything.fixture.far.machine();
    for (wrong, code) in [(format!("{USER}:{WRONG}"), unreachable), (WRONG.to_owned(), 1)] {
        let login = login_file(&other, &wrong);
        everything.run(&laptop.clone().with("DEVSTREAM_VIA_LOGIN", &login), &["devices"], code);
    }
    everything.assert_no_secret_in_output("");
}

#[test]
fn a_secret_from_the_environment_appears_nowhere() {
    let url = |proxy: &Proxy, password: &str| format!("socks5h://{USER}:{password}@{}", proxy.address());
    let mut everything = Everything::behind(Proxy::microsocks, |machine, proxy, _| {
        machine.with("ALL_PROXY", &format!("socks5h://{USER}:{PASSWORD}@{}", proxy.address()))
    });
    let (laptop, unreachable) = (everything.laptop.clone(), RefusalKind::HubUnreachable.row().exit.into());
    let own = url(&everything.fixture.proxy, PASSWORD);
    let wrong = url(&everything.fixture.proxy, WRONG);
    for (wrong, code) in [(wrong, unreachable), (own.replace("socks5h", "socks4"), 1), (own.replace(':', "::"), 1)] {
        everything.run(&laptop.clone().with("ALL_PROXY", &wrong), &["devices"], code);
    }
    everything.assert_no_secret_in_output(&own);
}

#[test]
fn no_token_is_in_the_hubs_log_or_its_activity_log() {
    let hub = Hub::start_with(&Machine::new(), &["-vv"]);
    let mut device = RawDevice::online(RawClient::join(&hub.device_link(DEVICE)), &["ssh"]);
    let alice = RawClient::join(&hub.service_link("alice"));
    let pending = alice.open("ssh", &[]);
    let request = device.request();
    device.accept(&request);
    let grants: [StreamGrant; 2] = [pending.answer().grant(), (&request).into()];
    drop((alice.attach(&grants[0]).expect("let in"), device.identity.attach(&grants[1]).expect("let in")));
    hub.wait_activity("streamClosed", None);
    let everything = hub.process.log() + &hub.ask(&["logs"]) + &hub.ask(&["logs", "--json"]);
    for StreamGrant { token, .. } in grants {
        let leak = everything.lines().find(|line| line.contains(&token));
        assert_eq!(leak, None, "{token}");
    }
}

#[test]
fn a_damaged_file_or_an_unknown_flag_is_refused_without_repeating_the_secret() {
    let (hub, laptop) = (Hub::start(&Machine::new()), Machine::new());
    laptop.ask(&["join", &hub.service_link("alice")]);
    let refused = |words: &[&str], secret: &str| {
        let finished = laptop.run(words);
        assert!(finished.code.is_some_and(|code| code > 0), "{words:?}: {finished:?}");
        assert!(!finished.stderr.contains(secret), "{words:?}: {finished:?}");
        finished.stderr
    };
    for flag in ["--token", "--key", "--password"] {
        refused(&["devices", flag, WRONG], WRONG);
        refused(&["devices", &format!("{flag}={WRONG}")], WRONG);
    }
    let config = laptop.home().join("config.toml");
    fs::write(&config, format!("[service-proxy]\ndevice = 'pi-42'\nvia = http://{USER}:{PASSWORD}@squid:3128\n"))
        .unwrap();
    let said = refused(&["service-proxy", "--config", &config.display().to_string()], PASSWORD);
    assert!(said.contains("config.toml:3:"), "{said}");
    let key = laptop.home().join(".local/share/devstream/service/key");
    let text = fs::read_to_string(&key).unwrap();
    let half = &text[..text.len() / 2];
    fs::write(&key, half).unwrap();
    let said = refused(&["devices", "-vv"], half);
    assert!(said.contains("invalid key in ") && said.contains("service/key: "), "{said}");
}

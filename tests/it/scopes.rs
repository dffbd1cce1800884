//! Authorization: every cell of a table, at the deciding function and over the wire.

mod matrix;
mod wire;

use devstream::hub::auth::{Action, AuthzSubject, authorize};
use devstream::proto::id::{DeviceId, Principal, Role, StreamName};
use devstream::proto::refusal::RefusalKind;
use devstream::proto::scope::{Glob, Scope};
use devstream::proto::timestamp::Timestamp;
use proptest::prelude::*;

use crate::support::DEVICE;
use crate::support::machine::Machine;
use crate::support::raw::{RawClient, RawDevice};
use crate::support::response::HttpResponse;
use crate::support::roles::Hub;

#[test]
fn a_device_outside_the_scope_is_indistinguishable_from_an_unknown_one() {
    let hub = Hub::start(&Machine::new());
    let _seen = RawDevice::online(RawClient::join(&hub.device_link("mine")), &["ssh"]);
    let alice = RawClient::join(&hub.service_link_with("alice", &["--device", "mine", "--stream", "ssh"]));
    let answers = || -> Vec<HttpResponse> {
        let ask = |method, path: String| alice.ask(method, &path, &[], "");
        let open = |stream: &str| ask("POST", format!("/twins/{DEVICE}/streams{stream}"));
        vec![open("/ssh"), open("/web"), open(""), ask("GET", "/devices".into())]
    };
    let unknown = answers();
    assert_eq!(unknown[0].refusal_label(), RefusalKind::UnknownDevice.row().label);
    assert!(unknown[3].body.contains("mine"), "{unknown:?}");

    let link = hub.device_link(DEVICE);
    assert_eq!(answers(), unknown, "added");
    let device = RawDevice::online(RawClient::join(&link), &["ssh"]);
    assert_eq!(answers(), unknown, "online");
    hub.ask(&["device", "disable", DEVICE]);
    assert_eq!(answers(), unknown, "disabled");
    hub.ask(&["device", "enable", DEVICE]);
    drop(device);
    hub.wait_activity("deviceDisconnected", None);
    assert_eq!(answers(), unknown, "offline");
    hub.ask(&["service", "set", "alice", "--device", "*"]);
    assert_ne!(answers(), unknown, "this test can tell them apart");
}

/// Matches by the definition, without regard to time.
fn plainly_matches(glob: &[u8], text: &[u8]) -> bool {
    match (glob.split_first(), text.split_first()) {
        (None, _) => text.is_empty(),
        (Some((b'*', rest)), _) => (0..=text.len()).any(|taken| plainly_matches(rest, &text[taken..])),
        (Some((b'?', rest)), Some((_, left))) => plainly_matches(rest, left),
        (Some((wanted, rest)), Some((found, left))) => wanted == found && plainly_matches(rest, left),
        (Some(_), None) => false,
    }
}

fn globs() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[ab.?*-]{1,8}", 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn authorize_and_a_plain_matcher_agree_on_every_scope(
        devices in globs(), streams in globs(), device in "[ab-][ab.-]{0,7}", name in "[ab-][ab.-]{0,7}", exists: bool,
    ) {
        let parsed = |globs: &[String]| globs.iter().map(|glob| glob.parse::<Glob>().unwrap()).collect();
        let scope = Scope { devices: parsed(&devices), streams: parsed(&streams), ..Scope::default() };
        let principal = Principal { role: Role::Service, id: "alice".to_owned().try_into().unwrap() };
        let who = AuthzSubject { principal: &principal, disabled: false, scope: &scope };
        let any = |globs: &[String], text: &str| globs.iter().any(|glob| plainly_matches(glob.as_bytes(), text.as_bytes()));
        let sees = any(&devices, &device);
        let expected = match (exists && sees, any(&streams, &name)) {
            (false, _) => Err(RefusalKind::UnknownDevice),
            (true, false) => Err(RefusalKind::NotPermitted),
            (true, true) => Ok(()),
        };
        let (device, name): (DeviceId, StreamName) = (device.parse().unwrap(), name.parse().unwrap());
        let open = Action::Open { device: &device, exists, name: Some(&name) };
        prop_assert_eq!(authorize(who, open, Timestamp(0)), expected);
        let see = if sees { Ok(()) } else { Err(RefusalKind::UnknownDevice) };
        prop_assert_eq!(authorize(who, Action::ViewDevice(&device), Timestamp(0)), see);
    }
}

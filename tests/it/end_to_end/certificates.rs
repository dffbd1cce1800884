//! What the hub keeps beside keys for the owner of a fleet: proofs that come with a join, and certificates that a service stores.

use std::sync::Arc;

use devstream::net::e2e::fleet::certify;
use devstream::net::os::clock;
use devstream::proto::fleet::Validity;
use devstream::proto::id::Principal;
use devstream::proto::key::PrivateKey;
use devstream::proto::secret::{JoinCode, KeySeed};
use serde_json::{Value, json};

use crate::support::DEVICE;
use crate::support::machine::Machine;
use crate::support::raw::RawClient;
use crate::support::response::HttpResponse;
use crate::support::roles::Hub;

/// The longest text that the hub keeps.
const LONGEST: usize = 1024;

/// Redeems a link with a proof.
fn join(client: &RawClient, link: &str, proof: &str) -> HttpResponse {
    let code = link.rsplit_once("code=").unwrap().1;
    JoinCode::parse(code).expect("the code is last");
    client.ask("POST", "/join", &[], &json!({ "code": code, "key": client.public(), "proof": proof }).to_string())
}

/// What the hub keeps for the device's keys, as this service sees it.
fn kept(service: &RawClient) -> Value {
    let answer = service.ask("GET", "/devices/pi-42/certificate", &[], "");
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str::<Value>(&answer.body).unwrap()["keys"].clone()
}

fn put(service: &RawClient, owner: &str, key: &str, certificate: &str) -> u16 {
    let body = json!({ "key": key, "certificate": certificate }).to_string();
    service.ask("PUT", &format!("/{owner}/certificate"), &[], &body).status
}

/// The certificate of a fleet, which is another one for each seed.
fn certificate(role: &str, id: &str, key: &str, seed: u8) -> String {
    let owner = Principal { role: role.parse().unwrap(), id: id.parse().unwrap() };
    let signer = Arc::new(PrivateKey::from_seed(&KeySeed::new([seed; 32])));
    certify(&owner, &key.parse().unwrap(), signer, Validity::beginning(clock::now_utc())).unwrap().to_string()
}

#[test]
fn a_proof_is_kept_with_its_key_and_one_that_is_too_long_or_no_text_is_refused() {
    let hub = Hub::start_with(&Machine::new(), &["--penalty-exempt", "127.0.0.0/8"]);
    let link = hub.device_link(DEVICE);
    let device = RawClient::before_joining(&link);
    for refused in ["x".repeat(LONGEST + 1), String::new(), "not base64url".into(), "\u{1}".repeat(9)] {
        let answer = join(&device, &link, &refused);
        assert_eq!(answer.status, 400, "{refused}: {answer:?}");
    }
    let operator = RawClient::join(&hub.service_link("alice"));
    assert_eq!(kept(&operator), json!([]));
    let longest = "x".repeat(LONGEST);
    // Of a later invitation with the same link; and once more, since the answer was lost.
    for proof in ["former", longest.as_str(), &longest] {
        assert_eq!(join(&device, &link, proof).status, 204);
        assert_eq!(kept(&operator), json!([{ "key": device.public(), "proof": proof }]));
    }
    // A rotated key has neither, beside the former one and after it.
    let certificate = certificate("device", DEVICE, &device.public(), 1);
    assert_eq!(put(&operator, "devices/pi-42", &device.public(), &certificate), 204);
    let rotated = RawClient::join(&hub.link(&["device", "rotate", DEVICE, "--overlap", "1h"]));
    let former = json!({ "key": device.public(), "proof": longest, "certificate": certificate });
    assert_eq!(kept(&operator), json!([{ "key": rotated.public() }, former]));
    let last = RawClient::join(&hub.link(&["device", "rotate", DEVICE, "--overlap", "0s"]));
    assert_eq!(kept(&operator), json!([{ "key": last.public() }]));
}

#[test]
fn a_certificate_is_stored_for_a_key_in_reach_and_logged_with_its_service() {
    let hub = Hub::start_with(&Machine::new(), &["--penalty-exempt", "127.0.0.0/8"]);
    let device = RawClient::join(&hub.device_link(DEVICE));
    let everything = RawClient::join(&hub.service_link("alice"));
    let few = RawClient::join(&hub.service_link_with("bob", &["--device", "pi-4?", "--stream", "web"]));
    let none = RawClient::join(&hub.service_link_with("carol", &["--device", "pi-1"]));
    let other = RawClient::join(&hub.service_link_with("mallory", &["--device", "pi-42"]));
    let key = device.public();
    let [first, last, others] = [1, 2, 3].map(|seed| certificate("device", DEVICE, &key, seed));
    let of_bob = certificate("service", "bob", &few.public(), 1);
    for (service, owner, key, certificate, status) in [
        (&few, "devices/pi-42", &key, &first, 204),
        (&few, "devices/PI-42", &key, &last, 204),
        (&other, "devices/pi-42", &key, &others, 403),
        (&few, "devices/pi-42", &few.public(), &first, 400),
        (&few, "devices/pi-43", &key, &first, 404),
        (&none, "devices/pi-42", &key, &first, 404),
        (&few, "services/alice", &everything.public(), &first, 403),
        (&few, "services/bob", &few.public(), &of_bob, 403),
        (&everything, "services/bob", &few.public(), &of_bob, 204),
        (&everything, "services/nobody", &few.public(), &of_bob, 400),
        (&device, "devices/pi-42", &key, &first, 401),
    ] {
        assert_eq!(put(service, owner, key, certificate), status, "{owner}");
    }
    assert_eq!(kept(&few)[0]["certificate"], last);
    let own = few.ask("GET", "/services/bob/certificate", &[], "");
    assert!(own.status == 200 && own.body.contains(&format!(r#""certificate":"{of_bob}""#)), "{own:?}");
    assert_eq!(put(&few, "devices/pi-42", &key, &last), 204, "once more");
    hub.wait_activity("identityChanged", Some("certified"));
    let stored: Vec<_> = hub.activity().into_iter().filter(|event| event["resultType"] == "certified").collect();
    let by: Vec<_> = stored.iter().map(|event| event["properties"]["by"].as_str().unwrap()).collect();
    assert_eq!(by, ["service:bob", "service:bob", "service:alice"], "only changes: {stored:#?}");
    assert_eq!(stored[0]["properties"]["deviceId"], DEVICE);
    assert_eq!(stored[2]["properties"]["serviceId"], "bob");
}

#[test]
fn garbage_does_not_keep_the_certificate_of_a_fleets_owner_from_a_device() {
    let hub = Hub::start_with(&Machine::new(), &["--penalty-exempt", "127.0.0.0/8"]);
    let device = RawClient::join(&hub.device_link(DEVICE));
    let [mallory, owner] = ["mallory", "alice"].map(|name| {
        let link = hub.service_link_with(name, &["--device", DEVICE, "--stream", "web"]);
        RawClient::join(&link)
    });
    let key = device.public();
    let certificate = |role, id, key: &str| certificate(role, id, key, 1);
    let genuine = certificate("device", DEVICE, &key);
    for garbage in [
        "A".into(),
        String::new(),
        "a b".into(),
        "x".repeat(LONGEST),
        "x".repeat(LONGEST + 1),
        genuine[..genuine.len() / 2].to_owned(),
        format!("{genuine}AAAA"),
        certificate("device", "pi-43", &key),
        certificate("service", DEVICE, &key),
        certificate("device", DEVICE, &mallory.public()),
    ] {
        assert_eq!(put(&mallory, "devices/pi-42", &key, &garbage), 400, "{garbage}");
    }
    assert_eq!(kept(&owner), json!([{ "key": key }]));
    assert_eq!(put(&owner, "devices/pi-42", &key, &genuine), 204);
}

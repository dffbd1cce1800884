//! What the hub keeps beside keys for the owner of a fleet: proofs that come with a join, and certificates that a service stores.

use devstream::proto::secret::JoinCode;
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
    assert_eq!(put(&operator, "devices/pi-42", &device.public(), "CERTIFICATE"), 204);
    let rotated = RawClient::join(&hub.link(&["device", "rotate", DEVICE, "--overlap", "1h"]));
    let former = json!({ "key": device.public(), "proof": longest, "certificate": "CERTIFICATE" });
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
    let longest = "x".repeat(LONGEST);
    for (service, owner, key, certificate, status) in [
        (&few, "devices/pi-42", &key, longest.as_str(), 204),
        (&few, "devices/PI-42", &key, "A", 204),
        (&other, "devices/pi-42", &key, "B", 403),
        (&few, "devices/pi-42", &key, &format!("{longest}x"), 400),
        (&few, "devices/pi-42", &key, "", 400),
        (&few, "devices/pi-42", &key, "a b", 400),
        (&few, "devices/pi-42", &few.public(), "A", 400),
        (&few, "devices/pi-43", &key, "A", 404),
        (&none, "devices/pi-42", &key, "A", 404),
        (&few, "services/alice", &everything.public(), "A", 403),
        (&few, "services/bob", &few.public(), "A", 403),
        (&everything, "services/bob", &few.public(), "A", 204),
        (&everything, "services/nobody", &few.public(), "A", 400),
        (&device, "devices/pi-42", &key, "A", 401),
    ] {
        assert_eq!(put(service, owner, key, certificate), status, "{owner} {}", certificate.len());
    }
    assert_eq!(kept(&few)[0]["certificate"], "A");
    let own = few.ask("GET", "/services/bob/certificate", &[], "");
    assert!(own.status == 200 && own.body.contains(r#""certificate":"A""#), "{own:?}");
    assert_eq!(put(&few, "devices/pi-42", &key, "A"), 204, "once more");
    hub.wait_activity("identityChanged", Some("certified"));
    let stored: Vec<_> = hub.activity().into_iter().filter(|event| event["resultType"] == "certified").collect();
    let by: Vec<_> = stored.iter().map(|event| event["properties"]["by"].as_str().unwrap()).collect();
    assert_eq!(by, ["service:bob", "service:bob", "service:alice"], "only changes: {stored:#?}");
    assert_eq!(stored[0]["properties"]["deviceId"], DEVICE);
    assert_eq!(stored[2]["properties"]["serviceId"], "bob");
}

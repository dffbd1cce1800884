//! The table, and each of its cells at the function that decides.

use devstream::hub::auth::{Action, AuthzSubject, authenticate, authorize};
use devstream::proto::auth::{Binding, Credential, Session};
use devstream::proto::http::Bridge;
use devstream::proto::id::{DeviceId, Principal, Role, StreamId, StreamName};
use devstream::proto::key::{PrivateKey, PublicKey};
use devstream::proto::refusal::{RefusalKind, TABLE};
use devstream::proto::scope::Scope;
use devstream::proto::secret::KeySeed;
use devstream::proto::timestamp::Timestamp;

/// The expected result of each cell. Of two words, the first is the function's, the second the result over the
/// wire: of the token that is shown, or of the device that has nothing to offer within the scope.
///
/// The columns: `nobody` fails authentication (without a key, not joined, removed, or with a key that
/// was replaced); `disabled` and `ended` authenticate, whatever their scope; the rest are active, by scope.
const SERVICE: &str = "
                                 nobody  disabled  ended     nothing   elsewhere  device    othername             all
be-device                        401     disabled  401       401       401        401       401                   401
be-another-device                401     disabled  401       401       401        401       401                   401
open-named                       401     disabled  ended     unknown   unknown    yes       not-permitted         yes
open-first                       401     disabled  ended     unknown   unknown    yes       yes/not-offered       yes
open-named-on-unknown-device     401     disabled  ended     unknown   unknown    unknown   unknown               unknown
open-first-on-unknown-device     401     disabled  ended     unknown   unknown    unknown   unknown               unknown
open-named-on-another-device     401     disabled  ended     unknown   yes        unknown   unknown               yes
open-first-on-another-device     401     disabled  ended     unknown   yes        unknown   unknown               yes
bring-without-token              401     disabled  ended     401       401        yes/401   yes/401               yes/401
bring-made-up-token              401     disabled  ended     401       401        yes/401   yes/401               yes/401
bring-other-sides-token          401     disabled  ended     401       401        yes/401   yes/401               yes/401
bring-other-streams-token        401     disabled  ended     401       401        yes/401   yes/401               yes/401
bring-to-the-other-side          401     disabled  401       401       401        401       401                   401
bring-to-another-devices-stream  401     disabled  ended     401       yes/401    401       401                   yes/401
bring                            401     disabled  ended     401       401        yes       yes/not-permitted     yes
list                             401     disabled  ended     yes       yes        yes       yes                   yes
certificates                     401     disabled  ended     unknown   unknown    yes       yes                   yes
certificates-of-unknown-device   401     disabled  ended     unknown   unknown    unknown   unknown               unknown
certificates-of-a-service        401     disabled  ended     not-permitted  not-permitted  not-permitted  not-permitted  yes/bad-request
own-certificates                 401     disabled  ended     yes       yes        yes       yes                   yes
store-certificate                401     disabled  ended     unknown   unknown    yes/bad-request  yes/bad-request  yes/bad-request
store-own-certificate            401     disabled  ended     not-permitted  not-permitted  not-permitted  not-permitted  yes/bad-request
join-with-wrong-code             401     yes       yes       yes       yes        yes       yes                   yes
";

/// The expected results for a device, which has no scopes.
const THE_DEVICE: &str = "
                                 nobody  disabled  active
be-device                        401     disabled  yes
be-another-device                401     disabled  401
open-named                       401     disabled  401
open-first                       401     disabled  401
open-named-on-unknown-device     401     disabled  401
open-first-on-unknown-device     401     disabled  401
open-named-on-another-device     401     disabled  401
open-first-on-another-device     401     disabled  401
bring-without-token              401     disabled  yes/401
bring-made-up-token              401     disabled  yes/401
bring-other-sides-token          401     disabled  yes/401
bring-other-streams-token        401     disabled  yes/401
bring-to-the-other-side          401     disabled  401
bring-to-another-devices-stream  401     disabled  401
bring                            401     disabled  yes
list                             401     disabled  401
certificates                     401     disabled  401
certificates-of-unknown-device   401     disabled  401
certificates-of-a-service        401     disabled  401
own-certificates                 401     disabled  401
store-certificate                401     disabled  401
store-own-certificate            401     disabled  401
join-with-wrong-code             401     yes       yes
";

/// State of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    NoIdentity,
    NotJoined,
    Active,
    Disabled,
    Removed,
    Replaced,
    Ended,
}

pub(super) const STATES: [State; 7] = [
    State::NoIdentity,
    State::NotJoined,
    State::Active,
    State::Disabled,
    State::Removed,
    State::Replaced,
    State::Ended,
];

/// A service's scopes, by their columns, as typed.
pub(super) const SCOPES: [(&str, &[&str]); 5] = [
    ("nothing", &[]),
    ("elsewhere", &["--device", "pi-43"]),
    ("device", &["--device", "pi-42"]),
    ("othername", &["--device", "pi-42", "--stream", "web"]),
    ("all", &["--device", "*"]),
];

/// A cell of the matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) entry: &'static str,
    pub(super) authorized: &'static str,
    pub(super) answered: &'static str,
}

/// The column of somebody.
pub(super) fn column(role: Role, state: State, scope: &str) -> Vec<Cell> {
    let name = match (role, state) {
        (_, State::NoIdentity | State::NotJoined | State::Removed | State::Replaced) => "nobody",
        (_, State::Disabled) => "disabled",
        (_, State::Ended) => "ended",
        (Role::Device, State::Active) => "active",
        (Role::Service, State::Active) => scope,
    };
    let table = if role == Role::Service { SERVICE } else { THE_DEVICE };
    let mut lines = table.trim_start_matches('\n').lines().map(str::split_whitespace);
    let at = lines.next().and_then(|mut head| head.position(|word| word == name)).expect("such a column");
    let cell = |mut row: std::str::SplitWhitespace<'static>| {
        let entry = row.next().expect("an entry point");
        let both = row.nth(at).expect("a cell");
        let (authorized, answered) = both.split_once('/').unwrap_or((both, both));
        Cell { entry, authorized: word(authorized), answered: word(answered) }
    };
    lines.map(cell).collect()
}

/// The table's short forms of the refusals' words.
fn word(short: &'static str) -> &'static str {
    let kind = match short {
        "401" => RefusalKind::AuthenticationFailed,
        "unknown" => RefusalKind::UnknownDevice,
        "ended" => RefusalKind::AccessEnded,
        "not-offered" => RefusalKind::StreamNotOffered,
        _ => {
            assert!(short == "yes" || TABLE.iter().any(|row| row.label == short), "{short}");
            return short;
        }
    };
    kind.row().label
}

#[test]
fn every_cell_of_the_matrix_at_the_deciding_function() {
    let mut cells = 0;
    for state in STATES {
        for (name, typed) in SCOPES {
            for role in [Role::Device, Role::Service] {
                if role == Role::Device && state == State::Ended {
                    continue;
                }
                for cell in column(role, state, name).into_iter().filter(|cell| !cell.entry.starts_with("join")) {
                    let decided = decide(role, state, typed, cell.entry);
                    assert_eq!(decided, cell.authorized, "{role} {state:?} {name}: {}", cell.entry);
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, (7 + 6) * 5 * 22);
}

/// As the hub does: the key first, then what it may.
fn decide(role: Role, state: State, typed: &[&str], entry: &str) -> &'static str {
    let id = if role == Role::Device { "pi-42" } else { "alice" };
    let principal = Principal { role, id: id.to_owned().try_into().expect("an id") };
    let key = PrivateKey::from_seed(&KeySeed::new([1; 32]));
    let known: Vec<PublicKey> = match state {
        State::Active | State::Disabled | State::Ended => vec![key.public()],
        State::Replaced => vec![PrivateKey::from_seed(&KeySeed::new([2; 32])).public()],
        State::NoIdentity | State::NotJoined | State::Removed => Vec::new(),
    };
    let binding = Binding { method: "GET", authority: "hub", path: "/", session: Session::Channel(&[0; 32]) };
    let credential = Credential::sign(principal.clone(), &key, &binding);
    if authenticate(&credential, &known, &binding).is_err() {
        return RefusalKind::AuthenticationFailed.row().label;
    }
    let scope = scope(typed, (state == State::Ended).then_some(Timestamp(100)));
    let who = AuthzSubject { principal: &principal, disabled: state == State::Disabled, scope: &scope };
    match authorize(who, action(&principal, entry, &Named::new()), Timestamp(100)) {
        Ok(()) => "yes",
        Err(kind) => kind.row().label,
    }
}

fn scope(typed: &[&str], until: Option<Timestamp>) -> Scope {
    let named = |flag: &str| {
        typed.chunks(2).filter(|pair| pair[0] == flag).map(|pair| pair[1].parse().expect("a glob")).collect()
    };
    let streams: Vec<_> = named("--stream");
    let streams = if streams.is_empty() { Scope::everything().streams } else { streams };
    Scope { devices: named("--device"), streams, until, max_streams: None }
}

/// Names in the requests.
struct Named {
    device: DeviceId,
    another: DeviceId,
    unknown: DeviceId,
    stream: StreamName,
    bridges: [Bridge; 4],
    /// The device, an unknown one and an unknown service.
    owners: [Principal; 3],
}

impl Named {
    fn new() -> Self {
        let id = |text: &str| -> DeviceId { text.parse().expect("an id") };
        let bridge = |device, role| Bridge {
            hub: "hub".into(),
            device: id(device),
            stream: StreamId::from_bytes([1; 16]),
            role,
        };
        let places =
            [("pi-42", Role::Device), ("pi-42", Role::Service), ("pi-43", Role::Device), ("pi-43", Role::Service)];
        Self {
            device: id("pi-42"),
            another: id("pi-43"),
            unknown: id("nobody"),
            stream: "ssh".parse().expect("a stream name"),
            bridges: places.map(|(device, role)| bridge(device, role)),
            owners: [(Role::Device, "pi-42"), (Role::Device, "nobody"), (Role::Service, "nobody")]
                .map(|(role, name)| Principal { role, id: id(name).into() }),
        }
    }

    fn bridge(&self, device: &DeviceId, role: Role) -> Action<'_> {
        let fits = |bridge: &&Bridge| bridge.device == *device && bridge.role == role;
        Action::AttachLeg(self.bridges.iter().find(fits).expect("such a place"))
    }
}

fn action<'a>(principal: &'a Principal, entry: &str, named: &'a Named) -> Action<'a> {
    let role = principal.role;
    let certificates = |owner, exists, stores| Action::Certificates { owner, exists, stores };
    let [device, unknown, service] = &named.owners;
    let open = |device, exists, name| Action::Open { device, exists, name };
    match entry {
        "be-device" => Action::Control(&named.device),
        "be-another-device" => Action::Control(&named.another),
        "open-named" => open(&named.device, true, Some(&named.stream)),
        "open-first" => open(&named.device, true, None),
        "open-named-on-unknown-device" => open(&named.unknown, false, Some(&named.stream)),
        "open-first-on-unknown-device" => open(&named.unknown, false, None),
        "open-named-on-another-device" => open(&named.another, true, Some(&named.stream)),
        "open-first-on-another-device" => open(&named.another, true, None),
        "bring-to-the-other-side" => named.bridge(&named.device, !role),
        "bring-to-another-devices-stream" => named.bridge(&named.another, role),
        "list" => Action::List,
        "certificates" => certificates(device, true, false),
        "certificates-of-unknown-device" => certificates(unknown, false, false),
        "certificates-of-a-service" => certificates(service, false, false),
        "own-certificates" => certificates(principal, true, false),
        "store-certificate" => certificates(device, true, true),
        "store-own-certificate" => certificates(principal, true, true),
        entry if entry.starts_with("bring") => named.bridge(&named.device, role),
        entry => panic!("no such entry point: {entry}"),
    }
}

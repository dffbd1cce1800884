//! Credentials and secrets: encodings round-trip, and a signature is valid for its request alone.

use devstream::proto::auth::{Binding, Credential, Session};
use devstream::proto::challenge::Challenge;
use devstream::proto::id::{Principal, PrincipalId, Role};
use devstream::proto::key::{PrivateKey, PublicKey, Signature};
use devstream::proto::secret::{JoinCode, KeySeed, Secret, StreamToken};

use super::input::{Input, is_printable, text};

pub fn check(bytes: &[u8]) {
    // Inputs are either text from a peer, or requests to sign.
    match bytes.split_first() {
        Some((0, request)) => signed(Input::new(request)),
        _ => text(bytes).into_iter().for_each(received),
    }
}

fn received(text: &str) {
    if let Ok(credential) = text.parse::<Credential>() {
        let written = credential.to_string();
        assert!(is_printable(&written) || !is_printable(text));
        assert_eq!(written.parse(), Ok(credential));
    }
    if let Some(challenge) = Challenge::from_header(text) {
        assert_eq!(Challenge::from_header(&challenge.to_header()), Some(challenge));
    }
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(String::from(key), text, "one key, two spellings");
    }
    if let Ok(signature) = text.parse::<Signature>() {
        assert_eq!(signature.to_string(), text, "one signature, two spellings");
    }
    if let Ok(challenge) = text.parse::<Challenge>() {
        assert_eq!(challenge.to_string(), text, "one challenge, two spellings");
    }
    secret(text, JoinCode::parse(text).ok());
    secret(text, StreamToken::parse(text).ok());
}

fn secret<const N: usize>(text: &str, parsed: Option<Secret<N>>) {
    let Some(secret) = parsed else { return };
    assert_eq!(secret.reveal(), text, "one secret, two spellings");
    assert!(!format!("{secret:?} {:?}", secret.hash()).contains(text), "shown");
}

/// Everything that a signature covers.
#[derive(Clone, PartialEq)]
struct Request {
    principal: Principal,
    method: String,
    authority: String,
    path: String,
    session: [u8; 32],
    by_challenge: bool,
}

impl Request {
    fn read(input: &mut Input<'_>) -> Self {
        let role = if input.coin() { Role::Device } else { Role::Service };
        let id = PrincipalId::try_from(input.text()).unwrap_or_else(|_| "pi-42".parse().unwrap());
        let [method, authority, path] = [(); 3].map(|()| input.text());
        let (by_challenge, session) = (input.coin(), input.bytes());
        Self { principal: Principal { role, id }, method, authority, path, session, by_challenge }
    }

    fn bound<R>(&self, with: impl FnOnce(&Binding<'_>) -> R) -> R {
        let challenge = Challenge::new(self.session);
        let session = if self.by_challenge { Session::Challenge(&challenge) } else { Session::Channel(&self.session) };
        let Self { method, authority, path, .. } = self;
        with(&Binding { method, authority, path, session })
    }
}

/// Checks one signature against two requests.
fn signed(mut input: Input<'_>) {
    let key = PrivateKey::from_seed(&KeySeed::new([input.byte(); 32]));
    let (own, other) = (Request::read(&mut input), Request::read(&mut input));
    let credential = own.bound(|binding| Credential::sign(own.principal.clone(), &key, binding));
    let read: Credential = credential.to_string().parse().expect("as it was written");
    assert_eq!(read, credential);
    assert!(own.bound(|binding| read.is_signed_by(&key.public(), binding)));
    // The same signature for another identity or request.
    let mut stolen = read;
    stolen.principal = other.principal.clone();
    let holds = other.bound(|binding| stolen.is_signed_by(&key.public(), binding));
    assert_eq!(holds, own == other, "a signature for one request is good for another");
}

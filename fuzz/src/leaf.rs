//! Certificates of the other end of a stream: none but the genuine one is valid, whatever it says.

use std::sync::Arc;

use devstream::net::e2e::leaf::{Leaf, presented_key, verify};
use devstream::proto::id::{Principal, Role};
use devstream::proto::key::PrivateKey;
use devstream::proto::secret::KeySeed;
use rustls::pki_types::{CertificateDer, UnixTime};

/// Inputs begin with this to be changes of a genuine certificate: pairs of a position and what is added to the byte there.
const CHANGES: u8 = 0;

pub fn check(bytes: &[u8]) {
    let owner = Principal { role: Role::Device, id: "pi-42".parse().unwrap() };
    let key = Arc::new(PrivateKey::from_seed(&KeySeed::new([1; 32])));
    let genuine = Leaf::self_signed(&owner, key.clone()).unwrap().chain()[0].to_vec();
    let mut presented = bytes.to_vec();
    if let Some((&CHANGES, changes)) = bytes.split_first() {
        presented = genuine.clone();
        let length = presented.len();
        for change in changes.chunks_exact(3) {
            let position = usize::from(u16::from_be_bytes([change[0], change[1]])) % length;
            presented[position] = presented[position].wrapping_add(change[2]);
        }
    }
    let certificate = CertificateDer::from(presented.as_slice());
    let verified = verify(std::slice::from_ref(&certificate), &owner, &[key.public()], UnixTime::now());
    assert_eq!(verified.is_ok(), presented == genuine, "a changed certificate is valid, or the genuine one is not");
    if let Ok(verified) = verified {
        assert_eq!(presented_key(&certificate, &owner), Ok(verified));
    }
}

//! A device's end of a session, whatever arrives: nothing reaches its target, and it waits for more or fails.

use std::sync::Arc;
use std::time::Duration;

use devstream::net::e2e::config::{Expected, Sessions};
use devstream::net::e2e::leaf::Leaf;
use devstream::net::e2e::peers::FirstUse;
use devstream::net::tunnel::seal::seal;
use devstream::proto::e2e::StreamBinding;
use devstream::proto::key::PrivateKey;
use devstream::proto::secret::KeySeed;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex, split};
use tokio::runtime::Builder;

/// Room for what a session could pass on of any input.
const PIPE: usize = 1024 * 1024;

pub fn check(bytes: &[u8]) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(receive(bytes));
}

async fn receive(bytes: &[u8]) {
    let binding = StreamBinding::new(&"pi-42".parse().unwrap(), "alice".parse().unwrap(), None);
    let key = Arc::new(PrivateKey::from_seed(&KeySeed::new([2; 32])));
    let leaf = Leaf::self_signed(&binding.device_principal(), key).unwrap();
    let expected = Expected::service(binding, true, None);
    let end = Sessions::default().device_end(&leaf, expected, Arc::new(FirstUse::default())).unwrap();
    let (mut target, local) = duplex(PIPE);
    let mut sealed = seal(split(local), end, Arc::default(), Duration::ZERO);
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    for part in [first, rest] {
        if sealed.session.failure().is_none() {
            let _ = tokio::time::timeout(Duration::ZERO, sealed.writer.write_all(part)).await;
        }
    }
    assert!(!sealed.session.is_open(), "a peer without a key is let in");
    drop(sealed);
    let mut passed_on = Vec::new();
    let _ = target.read_to_end(&mut passed_on).await;
    assert!(passed_on.is_empty(), "bytes of a peer without a key");
}

//! Random numbers and secrets.

use crate::proto::secret::Secret;

/// Returns random bytes of a cryptographic generator.
#[expect(clippy::expect_used, reason = "the system's generator does not fail once it is seeded, and it seeds at boot")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    bytes
}

/// Returns a new secret.
pub fn secret<const N: usize>() -> Secret<N> {
    Secret::new(bytes())
}

/// Returns a random number, for jitter.
pub fn u64() -> u64 {
    u64::from_ne_bytes(bytes())
}

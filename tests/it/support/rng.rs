//! Seeded random input.

/// A generator (Marsaglia's xorshift64) that prints its seed when a test fails.
pub(crate) struct Rng {
    seed: u64,
    state: u64,
}

impl Rng {
    /// Any seed will do.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Self { seed, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 };
        (0..8).for_each(|_| _ = rng.random_below(2));
        rng
    }

    /// A number below this.
    pub(crate) fn random_below(&mut self, below: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 16).expect("a word of 64 bits") % below
    }

    /// Returns random bytes, or one of these inputs with a few changes.
    pub(crate) fn garbage(&mut self, valid: &[Vec<u8>]) -> Vec<u8> {
        if self.random_below(4) == 0 || valid.is_empty() {
            let length = self.random_below(300);
            return (0..length).map(|_| self.byte()).collect();
        }
        let mut bytes = valid[self.random_below(valid.len())].clone();
        for _ in 0..=self.random_below(4) {
            self.mutate(&mut bytes, valid);
        }
        bytes
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>, valid: &[Vec<u8>]) {
        let at = self.random_below(bytes.len() + 1);
        match self.random_below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, self.byte()),
            2 if at < bytes.len() => bytes[at] ^= 1 << self.random_below(8),
            3 if at < bytes.len() => bytes[at] = [0, 0x7f, 0x80, 0xff, b'\r', b'"'][self.random_below(6)],
            4 => {
                let other = &valid[self.random_below(valid.len())];
                let from = self.random_below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
            _ if at < bytes.len() => _ = bytes.remove(at),
            _ => {}
        }
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.random_below(256)).expect("a byte")
    }
}

impl Drop for Rng {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the harness shows it with the failure")]
            let () = eprintln!("--- the seed was {}", self.seed);
        }
    }
}

//! Nonsense that a seed decides.

/// A generator (Marsaglia's xorshift64) that says its seed when a test fails with it.
pub(crate) struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    /// Any seed will do.
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Self { seed, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 };
        (0..8).for_each(|_| _ = dice.roll(2));
        dice
    }

    /// A number below this.
    pub(crate) fn roll(&mut self, below: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 16).expect("a word of 64 bits") % below
    }

    /// Either bytes without any sense, or one of these with a few changes.
    pub(crate) fn nonsense(&mut self, valid: &[Vec<u8>]) -> Vec<u8> {
        if self.roll(4) == 0 || valid.is_empty() {
            let length = self.roll(300);
            return (0..length).map(|_| self.byte()).collect();
        }
        let mut bytes = valid[self.roll(valid.len())].clone();
        for _ in 0..=self.roll(4) {
            self.bend(&mut bytes, valid);
        }
        bytes
    }

    fn bend(&mut self, bytes: &mut Vec<u8>, valid: &[Vec<u8>]) {
        let at = self.roll(bytes.len() + 1);
        match self.roll(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, self.byte()),
            2 if at < bytes.len() => bytes[at] ^= 1 << self.roll(8),
            3 if at < bytes.len() => bytes[at] = [0, 0x7f, 0x80, 0xff, b'\r', b'"'][self.roll(6)],
            4 => {
                let other = &valid[self.roll(valid.len())];
                let from = self.roll(other.len() + 1);
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
            _ if at < bytes.len() => _ = bytes.remove(at),
            _ => {}
        }
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.roll(256)).expect("a byte")
    }
}

impl Drop for Dice {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the harness shows it with the failure")]
            let () = eprintln!("--- the seed was {}", self.seed);
        }
    }
}

//! Secrets, and the places that are searched for them.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use devstream::proto::key::PrivateKey;
use devstream::proto::secret::KeySeed;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::machine::Machine;

/// Every secret of a setup, in each form in which it might appear.
#[derive(Default)]
pub(super) struct Secrets {
    forms: BTreeSet<String>,
    public: BTreeSet<String>,
}

/// Words that appear next to secrets without being secret.
const NAMES: [&str; 5] = ["authorizationToken", "resumeToken", "Bearer ", "Basic ", "PRIVATE KEY"];

/// A text that stands for 32 secret bytes, such as a token, is at least so long.
const TOKEN_TEXT: usize = 43;

impl Secrets {
    /// A word such as a password.
    pub(super) fn word(&mut self, word: &str) {
        self.bytes(word.as_bytes());
        self.forms.insert(word.to_owned());
    }

    /// A user's password, as HTTP has it too.
    pub(super) fn login(&mut self, user: &str, password: &str) {
        self.word(password);
        self.word(&format!("{user}:{password}"));
    }

    /// The code of a join link. Its pin is no secret.
    pub(super) fn link(&mut self, link: &str) {
        let parameter = |name: &str| link.split(['?', '&']).find_map(|part| part.strip_prefix(name));
        let code = parameter("code=").expect("a code");
        self.word(code);
        self.bytes(&URL_SAFE_NO_PAD.decode(code).expect("a code is base64url"));
        self.public.extend(parameter("pin=sha256:").map(str::to_owned));
    }

    /// Every key that a machine has. Their public halves are for everybody to compare.
    pub(super) fn keys(&mut self, machine: &Machine) {
        let keys = keys_below(&machine.home().join(".local/share/devstream"));
        assert!(!keys.is_empty(), "no key below {}", machine.home().display());
        for key in keys {
            if let Ok(seed) = URL_SAFE_NO_PAD.decode(&key) {
                self.bytes(&seed);
            }
            if let Ok(seed) = KeySeed::parse(&key) {
                self.public.insert(PrivateKey::from_seed(&seed).public().into());
            }
            self.forms.insert(key);
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let hex = bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let list = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        self.forms.extend([hex, list, URL_SAFE_NO_PAD.encode(bytes), STANDARD.encode(bytes)]);
    }

    /// Asserts that no secret appears in this text.
    pub(super) fn assert_not_in(&self, place: &str, text: &str) {
        let told = text.lines().find(|line| self.assert_reported_by(line));
        assert_eq!(told, None, "{place} tells a secret");
    }

    fn assert_reported_by(&self, line: &str) -> bool {
        let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
        NAMES.iter().any(|name| line.contains(name))
            || self.forms.iter().any(|form| line.contains(form.as_str()))
            || words.any(|word| looks_random(word) && !self.public.contains(word))
    }
}

/// Long, and of all that base64url is made of.
fn looks_random(word: &str) -> bool {
    let has = |kind: fn(&char) -> bool| word.chars().any(|c| kind(&c));
    word.len() >= TOKEN_TEXT
        && has(char::is_ascii_uppercase)
        && has(char::is_ascii_lowercase)
        && has(char::is_ascii_digit)
}

/// The lines of every file that holds a key, without the ones that say so.
fn keys_below(folder: &Path) -> Vec<String> {
    let mut keys = Vec::new();
    for entry in fs::read_dir(folder).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            keys.extend(keys_below(&path));
        } else if entry.file_name().to_string_lossy().contains("key") {
            let text = fs::read_to_string(&path).expect("a key is text");
            keys.extend(text.lines().filter(|line| line.len() > 20 && !line.starts_with("---")).map(str::to_owned));
        }
    }
    keys
}

#[test]
fn each_form_of_a_secret_is_found() {
    let mut secrets = Secrets::default();
    secrets.login("alice", "hunter2 x");
    secrets.link("devstream://hub/pi-42?role=device&pin=sha256:hu4N-cx_EYUROt9cgKs8g2Px_ImJdwKJflazsGoyEAA&code=93ki3iPfUYVrVpR_0TqCig");
    for told in [
        "hunter2 x",
        "YWxpY2U6aHVudGVyMiB4",
        "68756e746572322078",
        "code=93ki3iPfUYVrVpR_0TqCig",
        "[247, 121, 34, 222, 35, 223, 81, 133, 107, 86, 148, 127, 209, 58, 130, 138]",
        "authorization: Bearer x",
        "token=AfI9j3KL-IHUpWUzafc2dQAfI9j3KL-IHUpWUzafc2d",
    ] {
        assert!(secrets.assert_reported_by(told), "{told}");
    }
    secrets.assert_not_in("a test", "pin sha256:hu4N-cx_EYUROt9cgKs8g2Px_ImJdwKJflazsGoyEAA\nhunter3");
}

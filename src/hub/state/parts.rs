//! The parts of a hub's state: none is made anew where the others show that it was lost.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{AUTHORITY, AUTHORITY_KEY, HUB_ID, KNOWN_SOURCES, REGISTRY, RESUME_KEY};
use crate::hub::registry::sqlite::CHANGE_COUNT;

/// What to do about a loss.
pub const ADVICE: &str = "move the directory away; then restore a backup with `devstream hub restore FILE`, or start \
                          anew and join every device and service again";

/// Files that show that a hub has run, though it starts without them.
const TRACES: [&str; 7] = [
    CHANGE_COUNT,
    RESUME_KEY,
    HUB_ID,
    KNOWN_SOURCES,
    "activity.jsonl",
    "administration.jsonl",
    "unauthenticated.jsonl",
];

/// The parts that are there. An empty file is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateParts {
    /// The authority's certificate: made again from the key.
    pub certificate: bool,
    /// The authority's key, which every device and service pins.
    pub key: bool,
    /// The registry.
    pub registry: bool,
    /// A file that a hub has left.
    trace: Option<&'static str>,
}

/// A part that nothing brings back but a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the hub's state in {} is incomplete: {lost}; {ADVICE}", directory.display())]
pub struct StateLoss {
    directory: PathBuf,
    lost: String,
}

impl StateLoss {
    /// Names the part.
    pub fn lost(&self) -> &str {
        &self.lost
    }
}

impl StateParts {
    /// Looks at a state directory, which may not exist.
    pub fn find(state: &Path) -> io::Result<Self> {
        let has = |name: &str| match fs::metadata(state.join(name)) {
            Ok(found) => Ok(found.len() > 0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
        let is_left = |name: &&str| fs::metadata(state.join(name)).is_ok_and(|left| left.is_file() && left.len() > 0);
        let trace = TRACES.into_iter().find(is_left);
        Ok(Self { certificate: has(AUTHORITY)?, key: has(AUTHORITY_KEY)?, registry: has(REGISTRY)?, trace })
    }

    /// Reports whether no hub has ever run here.
    pub fn is_fresh(&self) -> bool {
        *self == Self::default()
    }

    /// Reports whether a registry may be created: where no hub has run, or where one of an earlier version failed at its
    /// first start, after it had made its authority.
    pub fn may_create_registry(&self) -> bool {
        !self.registry && self.trace.is_none() && (self.key || !self.certificate)
    }

    /// Returns what is lost, if anything. A first start that did not end leaves a registry without identities and no
    /// authority (`nothing_known`): that is no loss.
    pub fn loss(&self, state: &Path, nothing_known: impl FnOnce() -> bool) -> Option<StateLoss> {
        let lost = match (self.key, self.registry) {
            (true, true) => return None,
            (false, false) if self.is_fresh() => return None,
            (true, false) if self.may_create_registry() => return None,
            (false, true) if !self.certificate && nothing_known() => return None,
            (true, false) => format!("{REGISTRY} is missing or empty"),
            (false, true) => format!("{AUTHORITY_KEY} is missing or empty"),
            (false, false) => format!("{REGISTRY} and {AUTHORITY_KEY} are missing or empty{}", self.left()),
        };
        Some(StateLoss { directory: state.to_owned(), lost })
    }

    /// Names what shows that they existed.
    fn left(&self) -> String {
        let left = if self.certificate { Some(AUTHORITY) } else { self.trace };
        left.map(|name| format!(", but {name} is there")).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_directory_without_a_trace_of_a_hub_is_fresh() {
        let lost = |certificate, key, registry, trace| {
            let parts = StateParts { certificate, key, registry, trace };
            parts.loss(Path::new("/x"), || false).map(|loss| loss.lost)
        };
        assert_eq!(lost(true, true, true, None), None);
        assert_eq!(lost(false, true, true, Some(RESUME_KEY)), None, "the certificate is made again from the key");
        assert_eq!(lost(false, false, false, None), None, "fresh");
        let both = "registry.sqlite and ca.key are missing or empty, but ";
        assert_eq!(lost(false, false, false, Some(RESUME_KEY)), Some(format!("{both}resume.key is there")));
        assert_eq!(lost(true, false, false, None), Some(format!("{both}ca.pem is there")));
        for certificate in [true, false] {
            let without_registry = lost(certificate, true, false, Some(RESUME_KEY));
            assert_eq!(without_registry.as_deref(), Some("registry.sqlite is missing or empty"));
            assert_eq!(lost(certificate, false, true, None).as_deref(), Some("ca.key is missing or empty"));
        }
    }

    #[test]
    fn a_first_start_that_was_cut_short_is_no_loss() {
        let registry_only = StateParts { registry: true, trace: Some(CHANGE_COUNT), ..StateParts::default() };
        assert_eq!(registry_only.loss(Path::new("/x"), || true), None);
        let of_an_earlier_version = StateParts { key: true, certificate: true, ..StateParts::default() };
        assert_eq!(of_an_earlier_version.loss(Path::new("/x"), || true), None, "it made the authority first");
    }
}

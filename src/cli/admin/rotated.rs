//! What a new link does to the key that an identity has: nothing yet, which matters where a key is in other hands.

use crate::cli::output;
use crate::proto::admin::AdminResponse;
use crate::proto::id::{Principal, PrincipalId};
use crate::proto::text;

/// Units in seconds, the largest first.
const UNITS: [(u64, &str); 4] = [(24 * 60 * 60, "day"), (60 * 60, "hour"), (60, "minute"), (1, "second")];

/// Says what of the identity, as the hub shows it now, works until the link is used, and after that.
pub(super) fn tell(Principal { role, id }: &Principal, overlap_seconds: u64, shown: &AdminResponse) {
    if awaits_join(shown) {
        return tell_of_earlier_link(id);
    }
    let AdminResponse::Identities { .. } = shown else { return };
    let after = match overlap_seconds {
        0 => ", and not after".to_owned(),
        seconds => format!(", and for {} after that (--overlap 0s: not after)", in_words(seconds)),
    };
    output::eprint(&format!(
        "the present key works until the link is used{after}; to cut it off now: devstream hub {role} disable {id}, and \
         enable it after the join"
    ));
}

/// Reports whether the hub knows the identity, and it has not joined.
pub(super) fn awaits_join(shown: &AdminResponse) -> bool {
    let AdminResponse::Identities { identities, .. } = shown else { return false };
    identities.iter().any(|identity| !identity.joined)
}

/// Says what a new link does to the one before it.
pub(super) fn tell_of_earlier_link(id: &PrincipalId) {
    output::eprint(&format!("{id} has not joined yet; the earlier link no longer works"));
}

/// Words a duration in the largest unit that divides it.
fn in_words(seconds: u64) -> String {
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit)).unwrap_or((1, "second"));
    text::count(seconds / unit, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_is_worded_exactly() {
        let words = [86_400, 36 * 3600, 90, 2].map(in_words);
        assert_eq!(words, ["1 day", "36 hours", "90 seconds", "2 seconds"]);
    }
}

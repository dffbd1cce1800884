//! The value that holds where a hub's mirror and the bucket have different ones of a key, as after the bucket has lost a write
//! that it had confirmed: the higher version, and no revocation that either has comes undone.

use super::{Content, Denial, Versioned};

/// The outcome of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// The bucket's holds: the mirror takes it.
    Theirs,
    /// The mirror's holds: it is put again.
    Ours,
    /// Neither holds alone: this one is put, and taken.
    New(Versioned),
}

/// Compares the mirror's value with the bucket's. Whoever compares the outcome with either once more finds that it holds, so
/// that all mirrors end with the same.
pub fn merge(ours: &Versioned, theirs: &Versioned) -> Merged {
    let rank = |value: &Versioned| (value.version, value.content.denial());
    let is_ours = rank(ours) > rank(theirs);
    let (base, other) = if is_ours { (ours, theirs) } else { (theirs, ours) };
    let content = merged(base, other);
    if content == base.content {
        return if is_ours { Merged::Ours } else { Merged::Theirs };
    }
    Merged::New(Versioned {
        version: ours.version.max(theirs.version) + 1,
        revocations: ours.revocations.max(theirs.revocations),
        content,
    })
}

/// Adds to a value what another one has of revocations that it never saw, and of uses of an enrolment key.
fn merged(base: &Versioned, other: &Versioned) -> Content {
    let is_unseen = other.revocations > base.revocations && other.content.denial() > base.content.denial();
    let mut content = base.content.clone();
    match (&mut content, &other.content) {
        (_, Content::Removed) if is_unseen => content = Content::Removed,
        (Content::Identity(identity), _) if is_unseen => identity.disabled = true,
        (Content::Enrolment(enrolment), Content::Enrolment(others)) if others.used > enrolment.used => {
            enrolment.used = others.used;
            enrolment.redeemers.clone_from(&others.redeemers);
        }
        (Content::Identity(_) | Content::Enrolment(_) | Content::Removed, _) => {}
    }
    content
}

impl Versioned {
    /// Returns the value after this one, with another content.
    #[must_use]
    pub fn next(version: u64, revocations: u64, before: Option<&Content>, after: Content) -> Self {
        let denied_before = before.map_or(Denial::None, Content::denial);
        let revocations = revocations + u64::from(after.denial() > denied_before);
        Self { version: version + 1, revocations, content: after }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Bytes, PortableEnrolment, PortableIdentity};
    use super::*;
    use crate::proto::scope::Scope;

    fn identity(created: i64, disabled: bool) -> Content {
        let (scope, keys) = (Scope::default(), Vec::new());
        Content::Identity(Box::new(PortableIdentity { created, scope, disabled, enrolment: None, keys, code: None }))
    }

    fn enrolment(used: u32) -> Content {
        let (hash, devices) = (Bytes([1; 32]), "*".parse().unwrap());
        let redeemers = vec![Bytes([u8::try_from(used).unwrap(); 16])];
        let (uses, created, until) = (9, 0, 9);
        Content::Enrolment(Box::new(PortableEnrolment { hash, devices, uses, used, redeemers, created, until }))
    }

    fn value(version: u64, revocations: u64, content: Content) -> Versioned {
        Versioned { version, revocations, content }
    }

    #[test]
    fn the_higher_version_holds_and_a_revocation_wins_a_tie() {
        let (live, off) = (identity(1, false), identity(1, true));
        for (ours, theirs, expected) in [
            (value(2, 0, live.clone()), value(3, 0, identity(2, false)), Merged::Theirs),
            (value(3, 0, live.clone()), value(2, 0, identity(2, false)), Merged::Ours),
            (value(3, 0, live.clone()), value(3, 0, identity(2, false)), Merged::Theirs),
            (value(3, 1, off.clone()), value(3, 0, live.clone()), Merged::Ours),
            (value(3, 0, live.clone()), value(3, 1, off.clone()), Merged::Theirs),
            (value(3, 1, Content::Removed), value(3, 1, off.clone()), Merged::Ours),
            // Enabled by somebody who had seen it disabled.
            (value(3, 1, off.clone()), value(4, 1, live.clone()), Merged::Theirs),
            (value(4, 1, live), value(3, 1, off), Merged::Ours),
        ] {
            assert_eq!(merge(&ours, &theirs), expected, "{ours:?} {theirs:?}");
        }
    }

    #[test]
    fn a_revocation_that_the_higher_version_never_saw_is_added_to_it() {
        let (live, off) = (identity(1, false), identity(1, true));
        let later = value(7, 0, identity(2, false));
        let disabled = Merged::New(value(8, 1, identity(2, true)));
        assert_eq!(merge(&value(3, 1, off.clone()), &later), disabled);
        assert_eq!(merge(&later, &value(3, 1, off)), disabled);
        let removed = Merged::New(value(8, 1, Content::Removed));
        assert_eq!(merge(&value(3, 1, Content::Removed), &later), removed);
        assert_eq!(merge(&value(4, 2, live), &later), Merged::Theirs, "it was enabled again since");
    }

    #[test]
    fn no_use_of_an_enrolment_key_is_given_back() {
        let more = value(3, 0, enrolment(5));
        let expected = value(5, 0, enrolment(5));
        assert_eq!(merge(&more, &value(4, 0, enrolment(4))), Merged::New(expected));
        assert_eq!(merge(&more, &value(4, 0, enrolment(6))), Merged::Theirs);
        assert_eq!(merge(&more, &value(4, 1, Content::Removed)), Merged::Theirs);
    }

    #[test]
    fn a_change_counts_as_a_revocation_where_it_takes_rights_away() {
        let (live, off) = (identity(1, false), identity(1, true));
        for (before, after, revocations) in [
            (None, live.clone(), 4),
            (None, off.clone(), 5),
            (Some(live.clone()), off.clone(), 5),
            (Some(off.clone()), live.clone(), 4),
            (Some(off), Content::Removed, 5),
            (Some(Content::Removed), live, 4),
        ] {
            let next = Versioned::next(2, 4, before.as_ref(), after);
            assert_eq!((next.version, next.revocations), (3, revocations));
        }
    }

    fn any_value() -> impl Strategy<Value = Versioned> {
        let content = (0..3i64, 0..3u8).prop_map(|(created, kind)| match kind {
            0 => identity(created, false),
            1 => identity(created, true),
            _ => Content::Removed,
        });
        (1..5u64, 0..3u64, content).prop_map(|(version, revocations, content)| value(version, revocations, content))
    }

    proptest! {
        #[test]
        fn the_outcome_holds_against_both_and_denies_what_either_denied_unseen(ours in any_value(), theirs in any_value()) {
            let outcome = match merge(&ours, &theirs) {
                Merged::Ours => ours.clone(),
                Merged::Theirs => theirs.clone(),
                Merged::New(new) => {
                    prop_assert!(new.version > ours.version.max(theirs.version));
                    new
                }
            };
            prop_assert_eq!(merge(&outcome, &theirs) != Merged::Theirs || outcome == theirs, true);
            prop_assert_eq!(merge(&ours, &outcome), Merged::Theirs);
            for (one, other) in [(&ours, &theirs), (&theirs, &ours)] {
                if one.revocations > other.revocations {
                    prop_assert!(outcome.content.denial() >= one.content.denial());
                }
            }
        }
    }
}

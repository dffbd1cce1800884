//! The consequences of a changed identity for its connections and streams: what the broker is told follows from the records
//! before and after alone, whoever made the change.

use std::time::Instant;

use super::broker::{Input, LegKey};
use super::registry::{Record, Registry, RegistryError, StoredKey};
use super::shared::Shared;
use crate::net::os::clock;
use crate::proto::id::{Principal, Role};
use crate::proto::refusal::{REMOVED, Refusal, RefusalKind};
use crate::proto::scope::Scope;
use crate::proto::timestamp::Timestamp;

/// Both clocks at the same time: records have times of the wall clock, and the broker waits on the monotonic one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    wall: Timestamp,
    monotonic: Instant,
}

impl Clocks {
    /// Reads both.
    pub(super) fn now() -> Self {
        Self { wall: clock::now_utc(), monotonic: clock::now() }
    }

    /// Returns a stored key with its end on the monotonic clock.
    pub(super) fn leg_key(self, stored: &StoredKey) -> LegKey {
        LegKey { key: stored.key, until: stored.until.map(|until| self.on_monotonic(until)) }
    }

    /// Returns the end of a service's access on the monotonic clock, or `None` if it does not expire.
    pub(super) fn access_deadline(self, scope: &Scope) -> Option<Instant> {
        scope.until.map(|until| self.on_monotonic(until))
    }

    fn on_monotonic(self, until: Timestamp) -> Instant {
        self.monotonic + until.since(self.wall)
    }
}

/// Makes a change of one identity, in turn with all others, and tells the broker what follows from it. Once begun it
/// completes, even if the caller is dropped.
pub(super) async fn change_identity<R, F>(shared: &Shared, principal: &Principal, work: F) -> Result<R, RegistryError>
where
    R: Send + 'static,
    F: FnOnce(&dyn Registry) -> Result<R, RegistryError> + Send + 'static,
{
    let (subject, broker) = (principal.clone(), shared.streams.broker.clone());
    let changing = shared.registry.change(principal, move |registry| {
        let before = registry.find(&subject)?;
        let done = work(registry);
        // Also where it failed: a store may have taken a part.
        let inputs = match registry.find(&subject) {
            Ok(after) => consequences(before.as_ref(), after.as_ref(), Clocks::now()),
            // Nobody knows what it may do now.
            Err(_) => vec![revoked(subject, RefusalKind::HubFailed.into())],
        };
        inputs.into_iter().for_each(|input| broker.handle(input));
        done
    });
    changing.await
}

/// Returns what the broker is told once an identity is `after`, having been `before`; `None` where there is none.
pub(super) fn consequences(before: Option<&Record>, after: Option<&Record>, now: Clocks) -> Vec<Input> {
    let Some(after) = after else {
        let removed = |before: &Record| {
            let reason = format!("{} {REMOVED}", before.principal);
            revoked(before.principal.clone(), Refusal::new(RefusalKind::AuthenticationFailed, reason))
        };
        return before.map(removed).into_iter().collect();
    };
    let end = |kind| revoked(after.principal.clone(), Refusal::new(kind, after.principal.to_string()));
    let mut inputs = Vec::new();
    if after.disabled && before.is_some_and(|before| !before.disabled) {
        inputs.push(end(RefusalKind::Disabled));
    }
    if before.is_some_and(|before| is_another_machine(before, after, now.wall)) {
        inputs.push(end(RefusalKind::KeyReplaced));
    }
    if before.map_or(&[][..], |before| &before.keys) != after.keys {
        inputs.push(keys_changed(after, now));
    }
    if before.is_some_and(|before| before.scope != after.scope) {
        inputs.extend(scope_changed(after, now));
    }
    inputs
}

/// Returns what the broker is told of an identity whose record is the same, while the wall clock was set.
pub(super) fn computed_again(record: &Record, now: Clocks) -> Vec<Input> {
    let scope = scope_changed(record, now).filter(|_| record.scope.until.is_some());
    [Some(keys_changed(record, now)), scope].into_iter().flatten().collect()
}

/// Has the connections of an identity look it up again.
pub(super) fn keys_changed(record: &Record, now: Clocks) -> Input {
    let keys = record.keys.iter().map(|stored| now.leg_key(stored)).collect();
    Input::KeysChanged { principal: record.principal.clone(), keys }
}

fn scope_changed(record: &Record, now: Clocks) -> Option<Input> {
    let until = now.access_deadline(&record.scope);
    let service = record.principal.id.clone().into();
    (record.principal.role == Role::Service).then(|| Input::ScopeChanged {
        service,
        scope: record.scope.clone(),
        until,
    })
}

fn revoked(principal: Principal, reason: Refusal) -> Input {
    Input::IdentityRevoked { principal, reason }
}

/// Reports whether none of the keys that were good is left, which a rotation with an overlap leaves: the identity is
/// another machine's, and nothing of the former one's waits for it.
fn is_another_machine(before: &Record, after: &Record, now: Timestamp) -> bool {
    let is_left = |stored: &StoredKey| after.keys.iter().any(|other| other.key == stored.key);
    let mut good = before.keys.iter().filter(|stored| stored.is_valid(now)).peekable();
    good.peek().is_some() && !good.any(is_left)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proto::key::PublicKey;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn clocks() -> Clocks {
        Clocks { wall: NOW, monotonic: clock::now() }
    }

    fn key(byte: u8, until: Option<i64>) -> StoredKey {
        let until = until.map(|seconds| Timestamp(NOW.0 + seconds));
        StoredKey { key: PublicKey::from_bytes([byte; 32]), local: false, added: NOW, until }
    }

    fn record(role: Role, keys: &[StoredKey]) -> Record {
        let id = "alice".to_owned().try_into().unwrap();
        let (principal, scope) = (Principal { role, id }, Scope::everything());
        Record {
            principal,
            created: NOW,
            last_seen: None,
            disabled: false,
            scope,
            enrolment: None,
            keys: keys.to_vec(),
        }
    }

    /// Words for each input of the broker.
    fn told(before: Option<&Record>, after: Option<&Record>) -> Vec<String> {
        let words = |input: &Input| {
            if let Input::IdentityRevoked { reason, .. } = input {
                format!("revoked: {:?}", reason.kind)
            } else if let Input::KeysChanged { keys, .. } = input {
                format!("{} keys", keys.len())
            } else {
                assert!(matches!(input, Input::ScopeChanged { .. }), "{input:?}");
                "scope".into()
            }
        };
        consequences(before, after, clocks()).iter().map(words).collect()
    }

    #[test]
    fn each_change_of_an_identity_has_its_consequences_and_no_others() {
        let [device, service] = [Role::Device, Role::Service].map(|role| record(role, &[key(1, None)]));
        let disabled = Record { disabled: true, ..device.clone() };
        let narrowed = Record { scope: Scope::default(), ..service.clone() };
        let seen = Record { last_seen: Some(NOW), enrolment: Some(1), ..device.clone() };
        let nothing: [&str; 0] = [];
        assert_eq!(told(None, None), nothing);
        assert_eq!(told(None, Some(&record(Role::Device, &[]))), nothing);
        assert_eq!(told(None, Some(&device)), ["1 keys"]);
        assert_eq!(told(Some(&device), Some(&seen)), nothing);
        assert_eq!(told(Some(&device), None), ["revoked: AuthenticationFailed"]);
        assert_eq!(told(Some(&device), Some(&disabled)), ["revoked: Disabled"]);
        assert_eq!(told(Some(&disabled), Some(&device)), nothing);
        assert_eq!(told(Some(&service), Some(&narrowed)), ["scope"]);
        let both = Record { disabled: true, ..narrowed };
        assert_eq!(told(Some(&service), Some(&both)), ["revoked: Disabled", "scope"]);
    }

    #[test]
    fn a_replaced_key_revokes_the_identity_unless_a_good_one_is_left() {
        for (before, after, wanted) in [
            (vec![], vec![key(1, None)], vec!["1 keys"]),
            (vec![key(1, None)], vec![key(2, None)], vec!["revoked: KeyReplaced", "1 keys"]),
            (vec![key(1, None)], vec![key(2, None), key(1, Some(60))], vec!["2 keys"]),
            (vec![key(2, None), key(1, Some(60))], vec![key(3, None), key(2, Some(60))], vec!["2 keys"]),
            // It has ended: whoever had it may wait for the next one.
            (vec![key(1, Some(-1))], vec![key(2, None)], vec!["1 keys"]),
        ] {
            let [before, after] = [before, after].map(|keys| record(Role::Device, &keys));
            assert_eq!(told(Some(&before), Some(&after)), wanted, "{before:?} {after:?}");
        }
    }

    #[test]
    fn ends_of_keys_and_of_access_are_moments_of_the_monotonic_clock() {
        let mut service = record(Role::Service, &[key(1, Some(60))]);
        let now = clocks();
        let ends = |service: &Record| {
            let mut ends = Vec::new();
            for input in computed_again(service, now) {
                if let Input::KeysChanged { keys, .. } = input {
                    ends.push(keys[0].until);
                } else if let Input::ScopeChanged { until, .. } = input {
                    ends.push(until);
                }
            }
            ends
        };
        let at = |seconds| Some(now.monotonic + Duration::from_secs(seconds));
        assert_eq!(ends(&service), [at(60)], "access without an end needs no new one");
        service.scope.until = Some(Timestamp(NOW.0 + 90));
        assert_eq!(ends(&service), [at(60), at(90)]);
        service.scope.until = Some(Timestamp(NOW.0 - 90));
        assert_eq!(ends(&service), [at(60), at(0)], "over");
    }
}

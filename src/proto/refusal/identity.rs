//! Refusals of an identity, whatever it asked for: they name it, and the hub's command for it.

use super::{Detail, Refusal, RefusalKind};
use crate::proto::id::{Principal, Role};

impl RefusalKind {
    /// Reports whether it says something about an identity, as the hub has it.
    pub fn is_of_identity(self) -> bool {
        matches!(
            self,
            Self::AuthenticationFailed
                | Self::IdTaken
                | Self::Disabled
                | Self::AccessEnded
                | Self::KeyReplaced
                | Self::StreamLimitReached
        )
    }
}

impl Refusal {
    /// Names the identity that is refused, where it is one that is and the details do not say so already.
    #[must_use]
    pub fn of(self, principal: &Principal) -> Self {
        let Some(advice) = advice(&self, principal) else { return self };
        let detail = if self.detail.is_empty() { Detail::new(&principal.to_string()) } else { self.detail };
        Self { detail, advice: self.advice.or(Some(advice.into())), ..self }
    }

    /// The advice for the identity that the details begin with.
    pub(super) fn advice_for_named(&self) -> Option<String> {
        let mut words = self.detail.as_str().split(' ');
        let role = match words.next()? {
            "device" => Role::Device,
            "service" => Role::Service,
            _ => return None,
        };
        advice(self, &Principal { role, id: words.next()?.parse().ok()? })
    }
}

/// Returns the table's advice with the identity in place of a placeholder.
#[expect(clippy::wildcard_enum_match_arm, reason = "few of many kinds are of an identity")]
fn advice(refusal: &Refusal, Principal { role, id }: &Principal) -> Option<String> {
    let scope = if *role == Role::Service { " --device GLOB" } else { "" };
    let (add, rotate) = (format!("devstream hub {role} add {id}{scope}"), format!("devstream hub {role} rotate {id}"));
    Some(match refusal.kind {
        RefusalKind::AuthenticationFailed if refusal.detail.as_str().ends_with(REMOVED) => {
            format!("for a new join link, on the hub: {add}")
        }
        RefusalKind::AuthenticationFailed => format!(
            "the identity may have been removed or re-enrolled on another machine; get a new join link (on the hub: {rotate}, or \
             if it was removed: {add}) and run `devstream join`"
        ),
        RefusalKind::IdTaken => format!(
            "choose another one with --id; if this machine is to take that id over, its operator gives it a join link of its \
             own: {rotate}, or if nobody has joined with it: {add}"
        ),
        RefusalKind::Disabled => format!("the hub's operator can enable it again: devstream hub {role} enable {id}"),
        RefusalKind::AccessEnded => format!("the hub's operator can extend it: devstream hub {role} set {id} --for 8h"),
        RefusalKind::KeyReplaced => {
            format!("the newer key is on the machine that joined last; for this one to have it, on the hub: {rotate}")
        }
        RefusalKind::StreamLimitReached => format!(
            "close some of them; the hub's operator can allow more: devstream hub {role} set {id} --max-streams N"
        ),
        _ => return None,
    })
}

/// What the details of a removed identity end with.
pub const REMOVED: &str = "was removed";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::refusal::TABLE;

    #[test]
    fn the_refusal_of_a_known_identity_has_no_placeholder_for_it() {
        for (role, id) in [(Role::Device, "pi-42"), (Role::Service, "alice")] {
            let principal = Principal { role, id: id.parse().unwrap() };
            for row in TABLE.iter().filter(|row| row.kind.is_of_identity()) {
                let by_the_hub = Refusal::new(row.kind, principal.to_string());
                for refusal in [Refusal::from(row.kind).of(&principal), by_the_hub] {
                    let shown = refusal.with_hint();
                    let command = format!("devstream hub {role} ");
                    assert!(shown.contains(&format!("({principal})")) && shown.contains(&command), "{shown}");
                    assert!(shown.contains(&format!(" {id}")) && !shown.contains("NAME"), "{shown}");
                    assert!(!shown.contains(" ID") && !shown.contains(&format!("hub {} ", !role)), "{shown}");
                }
            }
            let removed = Refusal::new(RefusalKind::AuthenticationFailed, format!("{principal} {REMOVED}"));
            assert!(removed.with_hint().contains(&format!("devstream hub {role} add {id}")), "{removed}");
        }
    }

    #[test]
    fn only_a_valid_id_gets_into_a_command() {
        for detail in ["device $(reboot)", "device", "hub pi-42", "device pi-42;reboot"] {
            let shown = Refusal::new(RefusalKind::Disabled, detail).with_hint();
            assert!(shown.ends_with(RefusalKind::Disabled.row().hint), "{shown}");
        }
        let offline = Refusal::new(RefusalKind::DeviceOffline, "device pi-42");
        assert_eq!(offline.clone().of(&Principal { role: Role::Service, id: "alice".parse().unwrap() }), offline);
    }
}

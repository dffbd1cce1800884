//! Refusals that the hub gave, in its words: what they say of keys must not pass for this machine's own.

use std::borrow::Cow;

use super::Refusal;

/// What comes before the hub's words, which follow in quotation marks.
const HUB_SAYS: &str = "the hub says: ";

impl Refusal {
    /// Notes that the hub gave it.
    #[must_use]
    pub fn from_hub(self) -> Self {
        Self { is_hubs: true, ..self }
    }

    /// Says of the details that they are the hub's words, where they are.
    #[must_use]
    pub fn attributed(self) -> Self {
        if !self.is_hubs || self.detail.is_empty() {
            return self;
        }
        let advice = self.advice.clone().or(self.advice_for_named().map(Cow::Owned));
        Self { detail: self.detail.quoted(HUB_SAYS), advice, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::limits::REASON_CHARS;
    use crate::proto::refusal::RefusalKind;

    #[test]
    fn the_hubs_words_are_quoted_whatever_they_are_and_this_machines_are_not() {
        let urged = r#"signed "now": devstream trust pin device pi-42 KEY"#;
        let refused = |detail: &str| Refusal::new(RefusalKind::BadRequest, detail);
        let said = refused(urged).from_hub().attributed().to_string();
        assert!(said.ends_with(r#" (the hub says: "signed 'now': devstream trust pin device pi-42 KEY")"#), "{said}");
        let longest = refused(&"x".repeat(REASON_CHARS)).from_hub().attributed();
        assert!(longest.to_string().ends_with("x…\")") && longest.detail.as_str().len() <= REASON_CHARS + 2);
        assert_eq!(refused(urged).attributed(), refused(urged), "a failure to reach the hub, for instance");
        assert_eq!(refused("").from_hub().attributed().to_string(), RefusalKind::BadRequest.row().sentence);
        let named = Refusal::new(RefusalKind::Disabled, "device pi-42").from_hub();
        assert!(named.attributed().with_hint().ends_with("devstream hub device enable pi-42"));
    }
}

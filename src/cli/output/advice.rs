//! The next step after a refused stream in terms of the command that was typed; the table of refusals knows none.

use crate::proto::refusal::{Refusal, RefusalKind};

/// What the command makes of the table's hints.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Advice {
    /// The command takes `--local PORT=NAME`.
    pub(in crate::cli) has_ports: bool,
    /// The time to wait for an offline device was chosen.
    pub(in crate::cli) wait_is_chosen: bool,
}

impl Advice {
    /// Returns the next step in place of the table's; none if that fits.
    pub(in crate::cli) fn instead(self, refusal: &Refusal) -> Option<&'static str> {
        let kind = refusal.kind;
        if refusal.names_next_step() {
            return None;
        }
        if kind == RefusalKind::DeviceOffline && self.wait_is_chosen {
            return Some("check that its agent is running");
        }
        let takes_one = kind == RefusalKind::StreamNotOffered && !self.has_ports;
        takes_one.then_some("choose a name that it offers with --stream NAME")
    }

    /// Words a refusal with the next step.
    pub(in crate::cli) fn describe(self, refusal: &Refusal) -> String {
        match self.instead(refusal) {
            Some(advice) => format!("{}; {advice}", refusal.message()),
            None => refusal.with_hint(),
        }
    }
}

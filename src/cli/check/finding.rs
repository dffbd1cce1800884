//! The findings of a check, hop by hop: a verdict each, with the cause and the next step where something is wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::advice::{Cause, advice};
use super::hop::Hop;
use crate::cli::output::with_state_dir;
use crate::proto::refusal::{Refusal, sanitize};

/// The verdict on a hop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub(super) enum Verdict {
    /// Works.
    Good,
    /// Works, with something to look after.
    Warning {
        /// The condition.
        cause: String,
        /// The next step.
        advice: String,
    },
    /// Failed.
    Failed {
        /// The refusal's label, as in logs.
        word: &'static str,
        /// The cause.
        cause: String,
        /// The next step.
        advice: String,
        /// The refusal's exit code.
        #[serde(skip)]
        exit: u8,
    },
}

impl Verdict {
    /// A refusal at this hop, with the advice for it.
    pub(super) fn failed(hop: Hop, refusal: &Refusal, cause: Option<Cause>) -> Self {
        if refusal.is_local() {
            let own = refusal.advice().filter(|own| !own.is_empty());
            return Self::because(refusal, own.unwrap_or("correct that, and run this check again").to_owned());
        }
        if let Some(next) = refusal.next_step() {
            return Self::because(refusal, next.to_owned());
        }
        // The others' advice is that of roles, which do not know the hop.
        let is_complete = hop == Hop::Identity || refusal.kind.is_of_session() || refusal.kind.is_of_identity();
        let own = refusal.advice().filter(|own| is_complete && !own.is_empty());
        Self::because(refusal, own.unwrap_or_else(|| advice(hop, refusal.kind, cause)).to_owned())
    }

    /// A refusal, with advice of its own.
    pub(super) fn because(refusal: &Refusal, advice: String) -> Self {
        let row = refusal.kind.row();
        Self::Failed { word: row.label, cause: refusal.message(), advice, exit: row.exit }
    }
}

/// The result at one hop.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    /// The hop.
    pub(super) hop: Hop,
    /// Its subject: a name, an address, an identity.
    pub(super) at: String,
    /// The time that it took to work or to fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) milliseconds: Option<f64>,
    /// Further details.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) facts: BTreeMap<&'static str, String>,
    /// The verdict.
    #[serde(flatten)]
    pub(super) verdict: Verdict,
}

impl Finding {
    /// A hop that works.
    pub(super) fn good(hop: Hop, at: impl fmt::Display) -> Self {
        Self { hop, at: sanitized(at), milliseconds: None, facts: BTreeMap::new(), verdict: Verdict::Good }
    }

    /// A hop that failed with a refusal.
    pub(super) fn failed(hop: Hop, at: impl fmt::Display, refusal: &Refusal) -> Self {
        Self::good(hop, at).with_verdict(Verdict::failed(hop, refusal, None))
    }

    /// Replaces the verdict.
    #[must_use]
    pub(super) fn with_verdict(self, verdict: Verdict) -> Self {
        Self { verdict, ..self }
    }

    /// Gives a hop that works another verdict.
    #[must_use]
    pub(super) fn doubted(self, verdict: Verdict) -> Self {
        if self.verdict == Verdict::Good { self.with_verdict(verdict) } else { self }
    }

    /// Names the hub's state directory in commands of the hub, if one was given.
    #[must_use]
    pub(super) fn with_state_dir(mut self) -> Self {
        if let Verdict::Warning { cause, advice } | Verdict::Failed { cause, advice, .. } = &mut self.verdict {
            [cause, advice].into_iter().for_each(|text| *text = with_state_dir(text).into_owned());
        }
        self
    }

    /// Sets the time that it took.
    #[must_use]
    pub(super) fn took(self, time: Duration) -> Self {
        // To the microsecond: the clock is no finer.
        Self { milliseconds: Some(time.as_micros() as f64 / 1000.0), ..self }
    }

    /// Adds a detail.
    #[must_use]
    pub(super) fn fact(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.facts.insert(name, sanitized(value));
        self
    }
}

/// Replaces control characters: the text may come from another user's program.
pub(super) fn sanitized(value: impl fmt::Display) -> String {
    value.to_string().chars().map(sanitize).collect()
}

/// A line for a person, with the cause and the next step below it unless all is well.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hop, at, milliseconds, facts, verdict } = self;
        let (state, why) = match verdict {
            Verdict::Good => ("ok", None),
            Verdict::Warning { cause, advice } => ("warning", Some((cause, advice))),
            Verdict::Failed { cause, advice, .. } => ("FAILED", Some((cause, advice))),
        };
        let time = milliseconds.map(|time| format!("{time:.1} ms")).unwrap_or_default();
        let mut line = format!("{:<15} {state:<7} {time:>11}  {at}", hop.as_str());
        for fact in facts.iter().map(|(name, value)| format!("{name} {value}")) {
            if line.chars().count() + fact.chars().count() + ", ".len() > COLUMNS {
                writeln!(f, "{line},")?;
                line = format!("{INDENT}{fact}");
            } else {
                line = format!("{line}, {fact}");
            }
        }
        f.write_str(&line)?;
        match why {
            Some((cause, advice)) => write!(f, "\n{INDENT}cause: {cause}\n{INDENT}next: {advice}"),
            None => Ok(()),
        }
    }
}

/// The length of a line with details; further ones are on the next.
const COLUMNS: usize = 96;

/// The width of the first column.
const INDENT: &str = "                ";

/// The findings, in the order of the path.
#[derive(Debug, Clone, Default)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    /// Adds a finding.
    pub(super) fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    /// Returns the exit code of the first failure; 0 if there is none.
    pub(super) fn exit(&self) -> u8 {
        let code = |finding: &Finding| match finding.verdict {
            Verdict::Failed { exit, .. } => Some(exit),
            Verdict::Good | Verdict::Warning { .. } => None,
        };
        self.0.iter().find_map(code).unwrap_or(0)
    }

    /// Returns the report for a program.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({ "ok": self.exit() == 0, "exitCode": self.exit(), "hops": self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::refusal::RefusalKind;

    fn report() -> Report {
        let mut report = Report::default();
        report.push(Finding::good(Hop::Dns, "hub.test").took(Duration::from_micros(1234)).fact("to", "10.0.0.1"));
        let warning = Verdict::Warning { cause: "it is slow".into(), advice: "wait".into() };
        report.push(Finding::good(Hop::Clock, "here").with_verdict(warning));
        report
    }

    #[test]
    fn the_first_failure_sets_the_exit_code_and_warnings_do_not() {
        let mut report = report();
        assert_eq!((report.exit(), report.json()["ok"].as_bool()), (0, Some(true)));
        report.push(Finding::failed(Hop::Tcp, "10.0.0.1:443", &RefusalKind::HubUnreachable.into()));
        report.push(Finding::failed(Hop::Target, "ssh", &RefusalKind::TargetRefused.into()));
        assert_eq!(report.exit(), RefusalKind::HubUnreachable.row().exit);
    }

    #[test]
    fn control_characters_of_other_programs_do_not_reach_the_terminal() {
        let finding = Finding::good(Hop::Hub, "hub\u{1b}[2J").fact("version", "1\nhub ok\u{9b}31m");
        assert!(!finding.to_string().contains(char::is_control), "{finding}");
    }

    #[test]
    fn text_and_json_have_the_same_content() {
        let mut report = report();
        report.push(Finding::failed(Hop::Target, "ssh", &RefusalKind::TargetRefused.into()));
        let text = report.0.iter().map(|finding| format!("{finding}\n")).collect::<String>();
        let json = report.json();
        let row = RefusalKind::TargetRefused.row();
        for part in ["1.2 ms  hub.test, to 10.0.0.1", "cause: it is slow", "next: wait", row.sentence, row.hint] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        let hops = &json["hops"];
        assert_eq!(
            (&hops[0]["hop"], &hops[0]["state"], &hops[0]["facts"]["to"]),
            (&"dns".into(), &"good".into(), &"10.0.0.1".into())
        );
        assert_eq!((&hops[1]["state"], &hops[1]["cause"]), (&"warning".into(), &"it is slow".into()));
        assert_eq!((&hops[2]["word"], &hops[2]["advice"]), (&row.label.into(), &row.hint.into()));
        assert_eq!(json["exitCode"], row.exit);
    }
}

//! What `check` finds: hop for hop how far things work, and for the one that does not, the cause and what to do next.

mod hub;
mod rules;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

pub use self::hub::{certificate, descriptors, disk};
use self::rules::advice;
pub use self::rules::{Banner, banner_timeout, compare_clocks, expired_certificate, hop_of, judge_banner};
use super::refusal::{Refusal, sanitize};

/// How a client names the signer of another hub's certificate.
pub const ANOTHER_HUB: &str = "another devstream hub's authority";

/// How a client calls what answers as no hub would.
pub const NOT_A_HUB: &str = "what answers there is no hub";

/// A part of the way, or of a hub, that works or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Hop {
    /// This machine knows who it is.
    Identity,
    /// The proxy's name has addresses.
    ProxyDns,
    /// One of them takes a connection.
    ProxyTcp,
    /// The proxy opens the way to the hub.
    Proxy,
    /// The hub's name has addresses.
    Dns,
    /// One of them takes a connection.
    Tcp,
    /// The hub is the one that is trusted.
    Tls,
    /// The hub knows who this is.
    Authentication,
    /// The two clocks agree.
    Clock,
    /// The device is known, and online.
    Device,
    /// It opens a stream.
    Stream,
    /// The stream's target answers.
    Target,
    /// The hub runs.
    Hub,
    /// Its certificate is good for a while.
    Certificate,
    /// It may open more connections.
    Descriptors,
    /// It may write more.
    Disk,
}

impl Hop {
    /// What people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::ProxyDns => "proxy dns",
            Self::ProxyTcp => "proxy tcp",
            Self::Proxy => "proxy",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Authentication => "authentication",
            Self::Clock => "clock",
            Self::Device => "device",
            Self::Stream => "stream",
            Self::Target => "target",
            Self::Hub => "hub",
            Self::Certificate => "certificate",
            Self::Descriptors => "descriptors",
            Self::Disk => "disk",
        }
    }
}

/// Whether a hop is as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum Verdict {
    /// It is.
    Good,
    /// It works, and yet a person should know this.
    Warning {
        /// What is odd.
        cause: String,
        /// What to do next.
        advice: String,
    },
    /// It is not.
    Failed {
        /// The refusal's word, as in logs.
        word: &'static str,
        /// What is wrong.
        cause: String,
        /// What to do next.
        advice: String,
        /// The refusal's exit code.
        #[serde(skip)]
        exit: u8,
    },
}

impl Verdict {
    /// A refusal, with the advice for where it was met.
    pub fn failed(hop: Hop, refusal: &Refusal) -> Self {
        Self::because(refusal, advice(hop, refusal))
    }

    /// A refusal with other advice.
    pub fn because(refusal: &Refusal, advice: String) -> Self {
        let row = refusal.kind.row();
        Self::Failed { word: row.label, cause: refusal.message(), advice, exit: row.exit }
    }
}

/// What was found at one hop.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Where.
    pub hop: Hop,
    /// What exactly: a name, an address, an identity.
    pub at: String,
    /// How long it took, or until it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<f64>,
    /// What else is known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<&'static str, String>,
    /// How it is.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Finding {
    /// One that is as it should be.
    pub fn good(hop: Hop, at: impl fmt::Display) -> Self {
        Self { hop, at: sanitized(at), milliseconds: None, facts: BTreeMap::new(), verdict: Verdict::Good }
    }

    /// One where a refusal was met.
    pub fn failed(hop: Hop, at: impl fmt::Display, refusal: &Refusal) -> Self {
        Self::good(hop, at).with_verdict(Verdict::failed(hop, refusal))
    }

    /// With another verdict.
    #[must_use]
    pub fn with_verdict(self, verdict: Verdict) -> Self {
        Self { verdict, ..self }
    }

    /// With the time that it took.
    #[must_use]
    pub fn took(self, time: Duration) -> Self {
        // To the microsecond: more says nothing.
        Self { milliseconds: Some(time.as_micros() as f64 / 1000.0), ..self }
    }

    /// With one thing more that is known.
    #[must_use]
    pub fn fact(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.facts.insert(name, sanitized(value));
        self
    }
}

/// Another user's program may have said it.
pub fn sanitized(value: impl fmt::Display) -> String {
    value.to_string().chars().map(sanitize).collect()
}

/// For a person: a line, with the cause and the next step below it where they are needed.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hop, at, milliseconds, facts, verdict } = self;
        let (state, why) = match verdict {
            Verdict::Good => ("ok", None),
            Verdict::Warning { cause, advice } => ("warning", Some((cause, advice))),
            Verdict::Failed { cause, advice, .. } => ("FAILED", Some((cause, advice))),
        };
        let time = milliseconds.map(|time| format!("{time:.1} ms")).unwrap_or_default();
        write!(f, "{:<15} {state:<7} {time:>11}  {at}", hop.as_str())?;
        facts.iter().try_for_each(|(name, value)| write!(f, ", {name} {value}"))?;
        match why {
            Some((cause, advice)) => write!(f, "\n                cause: {cause}\n                next: {advice}"),
            None => Ok(()),
        }
    }
}

/// All that was found, in the order of the way.
#[derive(Debug, Clone, Default)]
pub struct Report(Vec<Finding>);

impl Report {
    /// One more.
    pub fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    /// What the first failure ends the command with; 0 if there is none.
    pub fn exit(&self) -> u8 {
        let code = |finding: &Finding| match finding.verdict {
            Verdict::Failed { exit, .. } => Some(exit),
            Verdict::Good | Verdict::Warning { .. } => None,
        };
        self.0.iter().find_map(code).unwrap_or(0)
    }

    /// For a program.
    pub fn json(&self) -> serde_json::Value {
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
        let odd = Verdict::Warning { cause: "it limps".into(), advice: "rest".into() };
        report.push(Finding::good(Hop::Clock, "here").with_verdict(odd));
        report
    }

    #[test]
    fn the_first_failure_is_the_exit_code_and_oddities_are_none() {
        let mut report = report();
        assert_eq!((report.exit(), report.json()["ok"].as_bool()), (0, Some(true)));
        report.push(Finding::failed(Hop::Tcp, "10.0.0.1:443", &RefusalKind::HubUnreachable.into()));
        report.push(Finding::failed(Hop::Target, "ssh", &RefusalKind::TargetRefused.into()));
        assert_eq!(report.exit(), RefusalKind::HubUnreachable.row().exit);
    }

    #[test]
    fn what_others_say_does_not_act_on_the_terminal() {
        let finding = Finding::good(Hop::Hub, "hub\u{1b}[2J").fact("version", "1\nhub ok\u{9b}31m");
        assert!(!finding.to_string().contains(char::is_control), "{finding}");
    }

    #[test]
    fn a_person_and_a_program_read_the_same() {
        let mut report = report();
        report.push(Finding::failed(Hop::Target, "ssh", &RefusalKind::TargetRefused.into()));
        let text = report.0.iter().map(|finding| format!("{finding}\n")).collect::<String>();
        let json = report.json();
        let row = RefusalKind::TargetRefused.row();
        for part in ["1.2 ms  hub.test, to 10.0.0.1", "cause: it limps", "next: rest", row.sentence, row.hint] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        let hops = &json["hops"];
        assert_eq!(
            (&hops[0]["hop"], &hops[0]["state"], &hops[0]["facts"]["to"]),
            (&"dns".into(), &"good".into(), &"10.0.0.1".into())
        );
        assert_eq!((&hops[1]["state"], &hops[1]["cause"]), (&"warning".into(), &"it limps".into()));
        assert_eq!((&hops[2]["word"], &hops[2]["advice"]), (&row.label.into(), &row.hint.into()));
        assert_eq!(json["exitCode"], row.exit);
    }
}

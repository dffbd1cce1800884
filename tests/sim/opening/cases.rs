//! The ways to open a stream, the cuts, and the results.

use super::service::Outcome;

/// A way to open a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    /// The service has a standby connection; otherwise it opens by HTTP.
    pub(super) service_stands_by: bool,
    /// The device has one; otherwise it is asked on the control connection.
    pub(super) device_stands_by: bool,
    pub(super) early: bool,
    pub(super) resumes: bool,
    /// The service waits for a device that is offline when it asks.
    pub(super) waits: bool,
}

impl Case {
    pub(super) fn all() -> Vec<Self> {
        let bit = |number: u32, bit: u32| number >> bit & 1 == 0;
        let case = |number| Self {
            service_stands_by: bit(number, 0),
            device_stands_by: bit(number, 1),
            early: bit(number, 2),
            resumes: bit(number, 3),
            waits: bit(number, 4),
        };
        (0..32).map(case).collect()
    }
}

/// A cut at the message of this number, before or after it is delivered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    pub(super) message: u64,
    pub(super) delivered: bool,
    pub(super) scope: Scope,
}

/// The connections that are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// That of the message.
    Connection,
    /// All of the device, or all of the service.
    Side,
    /// All of the device, whose agent is killed and started again.
    Agent,
}

impl Scope {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [Self::Connection, Self::Side, Self::Agent].into_iter()
    }
}

/// The results of the runs.
#[derive(Debug, Default)]
pub(super) struct Tally {
    succeeded: usize,
    refused: usize,
    broken: usize,
    cut: usize,
}

impl Tally {
    pub(super) fn add(&mut self, result: &Report) {
        match result.outcome {
            Outcome::Succeeded => self.succeeded += 1,
            Outcome::Refused(_) => self.refused += 1,
            Outcome::Broken => self.broken += 1,
        }
        self.cut += usize::from(result.was_cut);
    }

    pub(super) fn assert_enough(&self, runs: usize) {
        let enough = self.cut > runs / 2 && self.succeeded > runs / 2 && self.refused > runs / 200;
        assert!(enough, "the model does not reach what it should test: {self:?}");
    }
}

#[derive(Debug)]
pub(super) struct Report {
    pub(super) outcome: Outcome,
    pub(super) was_cut: bool,
}

//! The real program as processes, with real OpenSSH around it: as a person runs it, and as others try to break it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test a panic is the message")]

mod support;

mod access;
mod acme;
mod activation;
mod activity;
mod backup;
mod certificates;
mod chaos;
mod check;
mod cli;
mod completion;
mod config;
mod conformance;
mod congestion;
mod consent;
mod enrolment;
mod faults;
mod handshake;
mod hostile;
mod identities;
mod impostors;
mod inspection;
mod lifecycle;
mod load;
mod migration;
mod monitoring;
mod networks;
mod one_machine;
mod pipe;
mod profiles;
mod programs;
mod rdp;
mod refusals;
mod resume;
mod scopes;
mod secrets;
mod seeing;
mod ssh;
mod standby;
mod status;
mod systemd;
mod three_machines;
mod tokens;
mod wind;

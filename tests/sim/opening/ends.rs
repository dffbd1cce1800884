//! One end of an open stream: the real state of an endpoint, its leg, and its way back after a loss.

use super::*;

use devstream::proto::limits::INITIAL_WINDOW;
use devstream::proto::secret::StreamToken;
use devstream::proto::stream::StreamProtocol;
use devstream::proto::stream::endpoint::{CloseMeaning, NextSend, StreamEndpoint};

/// Attempts with a token, the first included.
const DIALS: u32 = 4;

/// The connection of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leg {
    /// None until the next dial.
    Absent,
    /// The upgrade is requested; with the ticket, or with the token.
    Dialing {
        link: usize,
        with_ticket: bool,
    },
    Open(usize),
    /// The end has ended.
    Ended,
}

pub(super) struct End {
    pub(super) role: Role,
    pub(super) endpoint: StreamEndpoint,
    pub(super) stream: StreamId,
    pub(super) token: Option<StreamToken>,
    pub(super) ticket: Option<ResumeTicket>,
    pub(super) leg: Leg,
    /// Dials with the token so far, and whether one was lost.
    pub(super) dials: u32,
    pub(super) lost: bool,
    /// The device's connection to the target.
    pub(super) target: usize,
}

impl End {
    pub(super) fn new(role: Role, stream: StreamId, resumes: bool) -> Self {
        let protocol = if resumes { StreamProtocol::Resumable } else { StreamProtocol::V1 };
        Self {
            role,
            endpoint: StreamEndpoint::new(Some(protocol)),
            stream,
            token: None,
            ticket: None,
            leg: Leg::Absent,
            dials: 0,
            lost: false,
            target: 0,
        }
    }
}

impl Opening {
    /// An end dials: with its ticket after a loss, else with its token.
    pub(super) fn dials(&mut self, number: usize) {
        let End { role, leg, stream, .. } = self.ends[number];
        if leg != Leg::Absent {
            return;
        }
        let end = &mut self.ends[number];
        let with_ticket = end.ticket.is_some() && (end.lost || end.token.is_none());
        let credential = match &end.ticket {
            Some(ticket) if with_ticket => LegCredential::Ticket(Box::new(ticket.clone())),
            _ => LegCredential::Token(end.token.as_ref().unwrap().hash()),
        };
        end.dials += u32::from(!with_ticket);
        let link = self.connect(role);
        self.ends[number].leg = Leg::Dialing { link, with_ticket };
        match role {
            Role::Device => self.links[link].at_device = DeviceUse::Leg(number),
            Role::Service => self.links[link].at_service = ServiceUse::Leg(number),
        }
        self.send(link, true, Message::Attach(stream, Box::new(credential)));
    }

    fn end(&mut self, number: usize) {
        self.ends[number].leg = Leg::Ended;
        if self.ends[number].role == Role::Service {
            self.service.broken();
        }
    }

    fn dial_soon(&mut self, number: usize) {
        self.ends[number].leg = Leg::Absent;
        let pause = self.up_to(100);
        self.after(pause, Event::Dials(number));
    }

    pub(super) fn leg_receives(&mut self, number: usize, link: usize, message: Message) {
        match (self.ends[number].leg, message) {
            (Leg::Dialing { with_ticket, .. }, Message::Upgraded(ticket)) => {
                let end = &mut self.ends[number];
                (end.leg, end.token) = (Leg::Open(link), None);
                end.ticket = ticket.or(end.ticket.take());
                if with_ticket {
                    end.endpoint.attach();
                }
                self.flush(number);
            }
            (Leg::Dialing { with_ticket: true, .. }, Message::Refused(RefusalKind::Interrupted)) => {
                self.dial_soon(number);
            }
            (Leg::Dialing { with_ticket: false, .. }, Message::Refused(kind))
                if self.ends[number].role == Role::Service =>
            {
                self.service.refused(kind);
            }
            (Leg::Dialing { .. }, Message::Refused(_)) => self.end(number),
            (Leg::Open(open), message) if open == link => self.open_leg_receives(number, message),
            _ => {}
        }
    }

    fn open_leg_receives(&mut self, number: usize, message: Message) {
        let endpoint = &mut self.ends[number].endpoint;
        #[expect(clippy::wildcard_enum_match_arm, reason = "a stream has no other messages")]
        let result = match message {
            Message::Bytes(bytes) => endpoint.on_bytes(&bytes),
            Message::Text(StreamControl::Ack { bytes, window, end }) => endpoint.on_ack(bytes, window, end),
            Message::Text(StreamControl::Resume { received }) => endpoint.on_resume(received),
            Message::Close(code, reason) => {
                match endpoint.interpret_close(Some((code, &reason))) {
                    CloseMeaning::Lost(_) => self.lose(number),
                    CloseMeaning::Done | CloseMeaning::Reset | CloseMeaning::Broken(_) => self.end(number),
                }
                return;
            }
            other => panic!("{other:?} on a stream"),
        };
        assert_eq!(result, Ok(()), "both ends keep to the protocol: {}", self.describe());
        self.deliver(number);
        self.flush(number);
    }

    /// Passes on what has arrived. The target echoes; the application answers the greeting.
    fn deliver(&mut self, number: usize) {
        while let Some(bytes) = self.ends[number].endpoint.pop_local() {
            let End { role, target, .. } = self.ends[number];
            match role {
                Role::Device => {
                    self.targets[target].extend_from_slice(&bytes);
                    self.ends[number].endpoint.push_local(bytes.clone());
                }
                Role::Service => {
                    if let Some(words) = self.service.receive(&bytes) {
                        self.ends[number].endpoint.push_local(words);
                    }
                }
            }
            self.ends[number].endpoint.on_written(bytes.len());
        }
    }

    pub(super) fn flush(&mut self, number: usize) {
        self.deliver(number);
        while let Leg::Open(link) = self.ends[number].leg {
            let message = match self.ends[number].endpoint.next_send(INITIAL_WINDOW) {
                Some(NextSend::Bytes(bytes)) => Message::Bytes(bytes),
                Some(NextSend::Text(control)) => Message::Text(control),
                Some(NextSend::Ping | NextSend::Close) => panic!("nobody pings or closes"),
                None => return,
            };
            self.ends[number].endpoint.on_flushed();
            self.send(link, true, message);
        }
    }

    /// The connection of an end is lost.
    pub(super) fn leg_lost(&mut self, number: usize, link: usize) {
        match self.ends[number].leg {
            Leg::Dialing { link: dialing, with_ticket } if dialing == link => {
                self.ends[number].lost = true;
                let (role, dials) = (self.ends[number].role, self.ends[number].dials);
                if with_ticket || self.ends[number].ticket.is_some() {
                    self.dial_soon(number);
                } else if role == Role::Service {
                    self.ends[number].leg = Leg::Ended;
                    self.service_retries();
                } else if dials < DIALS {
                    self.dial_soon(number);
                } else {
                    self.end(number);
                }
            }
            Leg::Open(open) if open == link => self.lose(number),
            Leg::Absent | Leg::Dialing { .. } | Leg::Open(_) | Leg::Ended => {}
        }
    }

    fn lose(&mut self, number: usize) {
        if self.ends[number].role == Role::Service {
            self.service.lost_leg = true;
        }
        if self.ends[number].endpoint.is_resumable() {
            self.dial_soon(number);
        } else {
            self.end(number);
        }
    }
}

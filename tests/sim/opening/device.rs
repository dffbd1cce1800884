//! The device: an agent that reconnects, serves requests by its rule for repetitions, and connects the target.

use super::*;

use devstream::agent::recent_requests::{Attempt, RequestPath};

use super::ends::Leg;

/// The agent's use of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeviceUse {
    None,
    Control,
    Standby,
    /// The leg of an end.
    Leg(usize),
}

/// A request whose target is being connected.
pub(super) struct Serving {
    run: u64,
    attempt: Attempt,
    request: DeviceRequest,
    link: usize,
    path: RequestPath,
    cancelled: bool,
}

impl Opening {
    pub(super) fn agent_connects(&mut self, run: u64) {
        if run != self.run || self.links.iter().any(|link| link.up && link.at_device == DeviceUse::Control) {
            return;
        }
        let control = self.connect(Role::Device);
        self.links[control].at_device = DeviceUse::Control;
        self.send(control, true, Message::Hello(run));
        if self.case.device_stands_by {
            let standby = self.connect(Role::Device);
            // The agent opens it once it is welcome.
            self.links[standby].latency = self.links[control].latency;
            self.links[standby].at_device = DeviceUse::Standby;
            self.send(standby, true, Message::StandBy(run));
        }
    }

    /// Kills the agent, and starts another one.
    pub(super) fn agent_dies(&mut self) {
        self.run += 1;
        self.recent_requests = RecentRequests::default();
        self.links.iter_mut().for_each(|link| link.at_device = DeviceUse::None);
        self.ends.iter_mut().filter(|end| end.role == Role::Device).for_each(|end| end.leg = Leg::Ended);
        let pause = self.up_to(3000);
        self.after(pause, Event::AgentConnects(self.run));
    }

    pub(super) fn at_device(&mut self, link: usize, message: Message) {
        match (self.links[link].at_device, message) {
            (DeviceUse::Control, Message::StreamRequest(request)) => self.asked(link, *request, RequestPath::Control),
            (DeviceUse::Standby, Message::StreamRequest(request)) => self.asked(link, *request, RequestPath::Standby),
            (DeviceUse::Control, Message::Cancel(id)) => {
                let of_request = |serving: &&mut Serving| serving.request.stream == id;
                self.serving.iter_mut().filter(of_request).for_each(|serving| serving.cancelled = true);
            }
            (DeviceUse::Control, Message::Close(..)) => {
                self.links[link].up = false;
                self.device_loses(link);
            }
            (DeviceUse::Standby, Message::Close(..)) => self.links[link].end_notices = true,
            (DeviceUse::Leg(end), message) => self.leg_receives(end, link, message),
            (DeviceUse::None, _) => {}
            (at_device, message) => panic!("{message:?} at {at_device:?}"),
        }
    }

    fn asked(&mut self, link: usize, request: DeviceRequest, path: RequestPath) {
        let Some(attempt) = self.recent_requests.begin(request.stream, path) else {
            return self.send(link, true, Message::Response(request.stream, false));
        };
        self.serving.push(Serving { run: self.run, attempt, request, link, path, cancelled: false });
        let pause = self.up_to(30);
        self.after(pause, Event::TargetConnected(self.serving.len() - 1));
    }

    pub(super) fn target_connected(&mut self, serving: usize) {
        let Serving { run, ref attempt, ref request, link, path, cancelled } = self.serving[serving];
        // A request is cancelled with its standby, and dropped with its control connection.
        if run != self.run || cancelled || self.links[link].end_notices || attempt.superseded.is_cancelled() {
            return;
        }
        let request = request.clone();
        self.targets.push(Vec::new());
        let mut end = End::new(Role::Device, request.stream, self.case.resumes);
        end.target = self.targets.len() - 1;
        end.ticket = request.ticket.as_ref().map(|(ticket, _)| ticket.clone());
        end.endpoint.push_local(Bytes::from_static(GREETING));
        if path == RequestPath::Standby {
            if !request.early.is_empty() {
                assert!(self.recent_requests.pass_early(attempt));
                end.endpoint.on_bytes(&request.early).unwrap();
            }
            end.leg = Leg::Open(link);
            self.links[link].at_device = DeviceUse::Leg(self.ends.len());
        } else {
            end.token = Some(request.token.clone());
        }
        self.ends.push(end);
        self.send(link, true, Message::Response(request.stream, true));
        match path {
            RequestPath::Standby => self.flush(self.ends.len() - 1),
            RequestPath::Control => self.after(Duration::ZERO, Event::Dials(self.ends.len() - 1)),
        }
    }

    pub(super) fn device_loses(&mut self, link: usize) {
        match self.links[link].at_device {
            DeviceUse::Control => {
                self.links[link].at_device = DeviceUse::None;
                let pause = self.up_to(1000);
                self.after(pause, Event::AgentConnects(self.run));
            }
            DeviceUse::Leg(end) => self.leg_lost(end, link),
            DeviceUse::Standby | DeviceUse::None => {}
        }
    }
}

//! The world of the hubs: agents that come, move and die, faults between the hubs, and what must hold nevertheless.

mod checks;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::sleep;

use super::faults::Faults;
use super::hub::{End, Part, RESPONSE_TIMEOUT, Record, request};
use super::{millis, mix};
use crate::hub::cluster::key::ClusterKey;
use crate::hub::cluster::loopback::Switch;
use crate::hub::cluster::messages::HubRequest;
use crate::hub::cluster::node::Node;
use crate::hub::cluster::run::run;
use crate::hub::cluster::view::members::DEAD_AFTER;
use crate::hub::cluster::view::presence::AgentConnection;
use crate::hub::handlers::elsewhere::open_elsewhere;
use crate::net::os::clock;
use crate::net::tasks::Tasks;
use crate::proto::id::{ConnectionId, DeviceId, HubId, StreamId};
use crate::proto::secret::Secret;

pub(super) const HUBS: usize = 3;
const DEVICES: usize = 3;
/// Two of the devices have two agents each.
const AGENTS: usize = 5;

/// The time for a hub to show that it lives.
const LIFE: Duration = Duration::from_secs(1);

/// All rounds of one opening: a search and a request each.
const LONGEST_OPENING: Duration = Duration::from_secs(3 * (1 + RESPONSE_TIMEOUT.as_secs() + 2) + 1);

struct Hub {
    part: Arc<Part>,
    tasks: Tasks,
}

#[derive(Clone)]
struct Agent {
    device: DeviceId,
    run: u64,
    address: std::net::SocketAddr,
    at: Option<(usize, ConnectionId)>,
    returns: Option<Instant>,
}

/// The hubs that run, for those who look at the end of something.
type Running = Arc<Mutex<Vec<Option<Arc<Part>>>>>;

pub(super) struct World {
    random: u64,
    switch: Switch,
    faults: Faults,
    hubs: Vec<Option<Hub>>,
    running: Running,
    record: Arc<Record>,
    agents: Vec<Agent>,
    /// The order in which connections came, the last one of each device.
    last: Vec<Option<ConnectionId>>,
    runs: u64,
    streams: u64,
    opened: Arc<Mutex<usize>>,
    pub(super) displaced: usize,
    started: Instant,
    pub(super) log: Vec<String>,
}

fn device(number: usize) -> DeviceId {
    format!("pi-{number}").parse().unwrap()
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let switch = Switch::default();
        let faults = Faults::new(mix(seed), &switch);
        let agent = |number: usize| Agent {
            device: device(number % DEVICES),
            run: 0,
            address: ([192, 0, 2, u8::try_from(number).unwrap()], 4711).into(),
            at: None,
            returns: None,
        };
        let mut world = Self {
            random: mix(seed ^ 0x5eed),
            switch,
            faults,
            hubs: Vec::new(),
            running: Arc::default(),
            record: Arc::default(),
            agents: (0..AGENTS).map(agent).collect(),
            last: vec![None; DEVICES],
            runs: 0,
            streams: 0,
            opened: Arc::default(),
            displaced: 0,
            started: clock::now(),
            log: Vec::new(),
        };
        for hub in 0..HUBS {
            world.hubs.push(None);
            world.running.lock().push(None);
            drop(world.switch.link());
            world.start(hub);
        }
        world
    }

    pub(super) fn opened(&self) -> usize {
        *self.opened.lock()
    }

    pub(super) fn wrong(&mut self) -> Vec<String> {
        let twice = self.record.asked.lock().values().filter(|count| **count > 1).count();
        if twice > 0 {
            self.say_wrong(format!("devices were asked twice for {twice} streams"));
        }
        std::mem::take(&mut *self.record.wrong.lock())
    }

    fn say_wrong(&self, what: String) {
        self.record.wrong.lock().push(what);
    }

    fn log(&mut self, what: String) {
        let at = clock::now().saturating_duration_since(self.started).as_millis();
        self.log.push(format!("{at} {what}"));
    }

    fn draw(&mut self, limit: usize) -> usize {
        self.random = mix(self.random);
        usize::try_from(self.random % u64::try_from(limit).unwrap()).unwrap()
    }

    fn draw_time(&mut self, longest: u64) -> Duration {
        millis(u64::try_from(self.draw(usize::try_from(longest).unwrap())).unwrap() + 1)
    }

    fn start(&mut self, hub: usize) {
        self.runs += 1;
        let id = HubId::from_bytes([u8::try_from(hub).unwrap(); 16]);
        let address = format!("h{hub}.hub.test").parse().unwrap();
        let link = Arc::new(self.switch.link_again(hub));
        let node = Arc::new(Node::new(id, self.runs, address, None, (link, ClusterKey::new(&Secret::new([1; 32])))));
        let part = Arc::new(Part::new(node.clone(), self.record.clone(), mix(self.random ^ self.runs)));
        let tasks = Tasks::default();
        tasks.spawn(part.freezer.clone().wrap(run(node, part.clone(), tasks.clone())));
        self.running.lock()[hub] = Some(part.clone());
        self.hubs[hub] = Some(Hub { part, tasks });
    }

    fn kill(&mut self, hub: usize) {
        let Some(killed) = self.hubs[hub].take() else { return };
        self.running.lock()[hub] = None;
        killed.tasks.abort();
        self.switch.kill(hub);
        for number in 0..AGENTS {
            if self.agents[number].at.is_some_and(|(at, _)| at == hub) {
                self.agents[number].at = None;
                self.agents[number].returns = Some(clock::now() + self.draw_time(3000));
            }
        }
    }

    fn part(&self, hub: usize) -> Option<&Arc<Part>> {
        self.hubs[hub].as_ref().map(|hub| &hub.part).filter(|part| !part.freezer.is_frozen())
    }

    pub(super) async fn step(&mut self) {
        let (hub, other, agent) = (self.draw(HUBS), self.draw(HUBS), self.draw(AGENTS));
        match self.draw(40) {
            0 => {
                self.log(format!("hub {hub} is killed"));
                self.kill(hub);
            }
            1 | 2 if self.hubs[hub].is_none() => {
                self.log(format!("hub {hub} starts"));
                self.start(hub);
                let reached = self.draw(3) > 0;
                self.switch.set_connected(hub, reached);
            }
            3 => self.freeze(hub),
            4 | 5 => {
                self.log(format!("hub {hub} thaws"));
                self.thaw(hub);
            }
            6 => {
                self.log(format!("the engine is out of hub {hub}'s reach"));
                self.switch.set_connected(hub, false);
            }
            7..10 => self.switch.set_connected(hub, true),
            10 if hub != other => {
                let (is_noticed, is_both) = (self.draw(2) == 0, self.draw(2) == 0);
                self.log(format!("cut from {hub} to {other}, noticed {is_noticed}, both {is_both}"));
                self.faults.cut(hub, other, is_noticed);
                if is_both {
                    self.faults.cut(other, hub, is_noticed);
                }
            }
            11 | 12 => {
                if !self.faults.cuts().is_empty() {
                    self.log("no cuts".into());
                    self.faults.heal();
                }
            }
            13 => {
                let loss = [0, 3, 10, 20][self.draw(4)];
                let delay = self.draw_time(300);
                self.log(format!("{loss} % lost, up to {} ms late", delay.as_millis()));
                self.faults.disturb(loss, delay);
            }
            14..20 => self.connect(agent, hub),
            20 => self.agent_dies(agent),
            21 => self.ask_life(hub, other),
            _ => self.open(hub, agent % DEVICES),
        }
        let pause = self.draw_time(500);
        sleep(pause).await;
        self.go_on();
    }

    /// What happens by itself.
    fn go_on(&mut self) {
        self.note_ended();
        for hub in 0..HUBS {
            let Some(part) = self.part(hub).cloned() else { continue };
            part.tick();
            if self.draw(20) == 0 {
                part.drop_dead();
            }
        }
        for agent in 0..AGENTS {
            if self.agents[agent].returns.is_some_and(|at| at <= clock::now()) {
                let hub = self.draw(HUBS);
                self.connect(agent, hub);
            }
        }
    }

    fn note_ended(&mut self) {
        let ended = std::mem::take(&mut *self.record.ended.lock());
        for (connection, end) in ended {
            if self.last.contains(&Some(connection)) {
                self.say_wrong(format!("connection {}, the last one, {end:?}", connection.0));
            }
            self.displaced += usize::from(end == End::Displaced);
            let Some(number) = self.agents.iter().position(|it| it.at.is_some_and(|(_, at)| at == connection)) else {
                continue;
            };
            self.log(format!("agent {number} {end:?}"));
            self.agents[number].at = None;
            // One that is displaced stays away; another comes back at once.
            self.agents[number].returns = (end == End::Dismissed).then(|| clock::now() + millis(300));
        }
    }

    fn freeze(&mut self, hub: usize) {
        let Some(part) = self.part(hub).cloned() else { return };
        self.log(format!("hub {hub} freezes"));
        part.freezer.set(true);
        for number in 0..AGENTS {
            // Its agents notice that, some sooner than it thaws.
            if self.agents[number].at.is_some_and(|(at, _)| at == hub) && self.draw(2) == 0 {
                self.agents[number].returns = Some(clock::now() + self.draw_time(4000));
            }
        }
    }

    fn thaw(&mut self, hub: usize) {
        if let Some(hub) = &self.hubs[hub] {
            hub.part.freezer.set(false);
        }
    }

    /// An agent comes, or moves; its former connection is noticed as dead later.
    fn connect(&mut self, number: usize, hub: usize) {
        self.note_ended();
        let Some(part) = self.part(hub).cloned() else { return };
        self.leave(number);
        let is_new = self.agents[number].run == 0 || self.draw(3) == 0;
        if is_new {
            self.runs += 1;
            self.agents[number].run = self.runs;
        }
        let port = 1024 + u16::try_from(self.draw(60_000)).unwrap();
        let agent = &mut self.agents[number];
        agent.address.set_port(port);
        let connection = part.connect(&agent.device, AgentConnection { run: agent.run, address: agent.address });
        (agent.at, agent.returns) = (Some((hub, connection)), None);
        self.last[number % DEVICES] = Some(connection);
        self.log(format!("agent {number} connects to hub {hub}: {}", connection.0));
        self.note_ended();
    }

    fn agent_dies(&mut self, number: usize) {
        self.log(format!("agent {number} dies"));
        self.leave(number);
        self.agents[number].run = 0;
    }

    fn leave(&mut self, number: usize) {
        self.agents[number].returns = None;
        let Some((hub, connection)) = self.agents[number].at.take() else { return };
        if let Some(hub) = &self.hubs[hub] {
            hub.part.note_dead(connection);
        }
    }

    fn ask_life(&mut self, hub: usize, other: usize) {
        let Some(part) = self.part(hub).cloned().filter(|_| hub != other) else { return };
        let (id, frozen) = (HubId::from_bytes([u8::try_from(other).unwrap(); 16]), part.freezer.count());
        let asked = part.clone();
        let task = async move {
            let start = clock::now();
            let _ = asked.node.request(id, HubRequest::Live, LIFE).await;
            let took = clock::now().saturating_duration_since(start);
            if took > LIFE + millis(1) && asked.freezer.count() == frozen {
                asked.record.wrong.lock().push(format!("hub {hub} asked {other} for {took:?}"));
            }
        };
        self.spawn(hub, part, task);
    }

    fn spawn(&self, hub: usize, part: Arc<Part>, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(hub) = &self.hubs[hub] {
            hub.tasks.spawn(part.freezer.clone().wrap(task));
        }
    }

    fn holders(running: &Running, device: &DeviceId) -> HashSet<(usize, ConnectionId)> {
        let running = running.lock();
        let online = |(hub, part): (usize, &Option<Arc<Part>>)| Some((hub, part.as_ref()?.online(device)?));
        running.iter().enumerate().filter_map(online).collect()
    }

    /// A service opens a stream at a hub.
    fn open(&mut self, hub: usize, number: usize) {
        let Some(part) = self.part(hub).cloned() else { return };
        let device = device(number);
        if part.online(&device).is_some() {
            return;
        }
        self.streams += 1;
        let stream = StreamId::from_bytes(u128::from(self.streams).to_be_bytes());
        let (running, faults, opened) = (self.running.clone(), self.faults.clone(), self.opened.clone());
        let (before, frozen, started) = (Self::holders(&running, &device), part.freezer.count(), self.started);
        let asker = part.clone();
        let task = async move {
            let start = clock::now();
            let result = open_elsewhere(&asker.node, &request(&device, Some(stream))).await;
            let took = clock::now().saturating_duration_since(start);
            let at = clock::now().saturating_duration_since(started).as_millis();
            if took > LONGEST_OPENING && asker.freezer.count() == frozen {
                asker.record.wrong.lock().push(format!("{at} hub {hub} opened {device} for {took:?}"));
            }
            match result {
                Ok(Some(_)) => *opened.lock() += 1,
                Ok(None) => {
                    let after = Self::holders(&running, &device);
                    for (holder, _) in before.intersection(&after).filter(|(holder, _)| *holder != hub) {
                        let silence = faults.silence(*holder, hub);
                        if silence < DEAD_AFTER {
                            let wrong =
                                format!("{at} hub {hub} calls {device} offline, which is at {holder}, {silence:?}");
                            asker.record.wrong.lock().push(wrong);
                        }
                    }
                }
                Err(_) => {}
            }
        };
        self.spawn(hub, part, task);
    }
}

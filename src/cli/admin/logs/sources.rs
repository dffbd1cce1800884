//! The logs that are printed: this hub's, read from its files, and in a cluster those of the other hubs, for which the
//! hub of this machine asks them. Lines are merged in time, each hub's in its own order. Of another hub's, no more than a
//! page is held.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::cli::admin::hub_not_running;
use crate::cli::output;
use crate::hub::activity::{History, Line};
use crate::hub::cluster::settings::ClusterSettings;
use crate::hub::state::{activity_log, admin_socket};
use crate::net::os::clock;
use crate::net::os::local_socket;
use crate::proto::admin::{AdminRequest, AdminResponse, ClusterHub, LogFilter, LogPosition, LogRequest};
use crate::proto::id::HubId;

/// The polling interval of --follow: fast enough for a person, and no load for the machine.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The same in a cluster, where the other hubs are asked each time.
const CLUSTER_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The interval at which --follow looks for further hubs, and asks again those that did not answer.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// All logs.
pub(super) struct Sources {
    /// Lines of this hub that are read already, and the reader of the next ones.
    read: VecDeque<Line>,
    history: History,
    others: Option<OtherLogs>,
}

/// A line, and the address of its hub in a cluster.
pub(super) type SourcedLine = (Option<Arc<str>>, Line);

impl Sources {
    /// Opens this hub's log: for all matching lines, or the last ones and those that follow. Then looks for other hubs.
    pub(super) async fn open(state: &Path, filter: LogFilter, last: Option<usize>) -> io::Result<Self> {
        let path = activity_log(state);
        let (read, history) = match last {
            Some(count) => History::open_at_end(&path, filter.clone(), count)?,
            None => (Vec::new(), History::open(&path, filter.clone())?),
        };
        let mut others = OtherLogs::of(state, filter, last);
        if let Some(others) = &mut others {
            others.look().await;
        }
        Ok(Self { read: read.into(), history, others })
    }

    /// Returns the next line in time; `None` if there is none yet.
    pub(super) async fn next(&mut self) -> io::Result<Option<SourcedLine>> {
        if self.read.is_empty() {
            self.read.extend(self.history.next_line()?);
        }
        let Some(others) = &mut self.others else { return Ok(self.read.pop_front().map(|line| (None, line))) };
        others.fill().await;
        Ok(match others.take_before(self.read.front()) {
            Some((hub, line)) => Some((Some(hub), line)),
            None => self.read.pop_front().map(|line| (Some(others.own.clone()), line)),
        })
    }

    /// Returns the last lines of those that there are, at most so many.
    pub(super) async fn last(&mut self, count: usize) -> io::Result<VecDeque<SourcedLine>> {
        let mut last = VecDeque::new();
        while let Some(line) = self.next().await? {
            last.push_back(line);
            last.drain(..last.len().saturating_sub(count));
        }
        Ok(last)
    }

    /// Waits until it is time to look for later lines.
    pub(super) async fn wait(&mut self) {
        let Some(others) = &mut self.others else { return tokio::time::sleep(POLL_INTERVAL).await };
        tokio::time::sleep(CLUSTER_POLL_INTERVAL).await;
        others.hubs.iter_mut().for_each(|hub| hub.has_more = !hub.is_silent);
        if clock::now() >= others.next_look {
            others.look().await;
        }
    }

    /// The width of the hubs' addresses.
    pub(super) fn width(&self) -> usize {
        let Some(others) = &self.others else { return 0 };
        let hubs = others.hubs.iter().map(|hub| hub.address.len());
        hubs.chain([others.own.len()]).max().unwrap_or(0)
    }

    /// The bytes read of this hub's log.
    pub(super) fn bytes_read(&self) -> u64 {
        self.history.bytes_read()
    }
}

/// The logs of the other hubs of a cluster.
struct OtherLogs {
    state: PathBuf,
    filter: LogFilter,
    last: Option<usize>,
    /// The address of this hub.
    own: Arc<str>,
    hubs: Vec<OtherLog>,
    /// The user knows that the hub of this machine cannot ask the others.
    is_alone: bool,
    next_look: Instant,
}

impl OtherLogs {
    /// Those of the hub with this state directory; `None` if it is alone.
    fn of(state: &Path, filter: LogFilter, last: Option<usize>) -> Option<Self> {
        let settings = ClusterSettings::load(state).unwrap_or_else(|error| {
            output::warning(&format!("only the log of this hub is shown: {error:#}"));
            None
        });
        let own = settings?.name.into();
        let (hubs, is_alone, next_look) = (Vec::new(), false, clock::now());
        Some(Self { state: state.into(), filter, last, own, hubs, is_alone, next_look })
    }

    /// Looks which hubs there are.
    async fn look(&mut self) {
        self.next_look = clock::now() + LOOK_INTERVAL;
        match local_socket::request(&admin_socket(&self.state), &AdminRequest::ClusterStatus).await {
            Ok(AdminResponse::Cluster(status)) => {
                self.is_alone = false;
                status.hubs.iter().for_each(|hub| self.found(hub));
            }
            Ok(AdminResponse::Failed { reason }) => self.tell_alone(&reason),
            Ok(_) => self.tell_alone("the hub answered another question"),
            Err(error) => self.tell_not_running(&error),
        }
    }

    /// There is a hub.
    fn found(&mut self, hub: &ClusterHub) {
        let address = hub.address.to_string().into();
        if hub.is_this {
            self.own = address;
            return;
        }
        let known = self.hubs.iter().position(|known| known.id == hub.id).unwrap_or_else(|| {
            self.hubs.push(OtherLog::new(hub.id, address));
            self.hubs.len() - 1
        });
        let known = &mut self.hubs[known];
        known.has_more = hub.state != "dead";
        if !known.has_more {
            known.tell_silent("it does not live");
        }
    }

    /// Reads on where no line is left.
    async fn fill(&mut self) {
        let hungry = self.hubs.iter_mut().filter(|hub| hub.lines.is_empty() && hub.has_more);
        let socket = admin_socket(&self.state);
        let read = join_all(hungry.map(|hub| hub.read(&socket, &self.filter, self.last))).await;
        if let Some(error) = read.into_iter().find_map(Result::err) {
            self.tell_not_running(&error);
        }
    }

    /// Takes the earliest line if it is earlier than this one.
    fn take_before(&mut self, own: Option<&Line>) -> Option<(Arc<str>, Line)> {
        let own = own.and_then(Line::time);
        let firsts = self.hubs.iter().enumerate().filter_map(|(hub, log)| Some((log.lines.front()?.time()?, hub)));
        let (time, hub) = firsts.min()?;
        if own.is_some_and(|own| own <= time) {
            return None;
        }
        let hub = &mut self.hubs[hub];
        Some((hub.address.clone(), hub.lines.pop_front()?))
    }

    fn tell_not_running(&mut self, error: &io::Error) {
        self.tell_alone(&hub_not_running(&self.state, true, error).cause);
    }

    fn tell_alone(&mut self, cause: &str) {
        if !std::mem::replace(&mut self.is_alone, true) {
            output::warning(&format!("only the log of this hub is shown: {cause}"));
        }
    }
}

/// The log of another hub.
struct OtherLog {
    id: HubId,
    address: Arc<str>,
    /// Where the next page begins.
    position: Option<LogPosition>,
    lines: VecDeque<Line>,
    /// The hub may have more lines.
    has_more: bool,
    /// The user knows that lines are missing.
    is_silent: bool,
}

impl OtherLog {
    fn new(id: HubId, address: Arc<str>) -> Self {
        Self { id, address, position: None, lines: VecDeque::new(), has_more: false, is_silent: false }
    }

    /// Reads the next lines. Fails if the hub of this machine does not answer.
    async fn read(&mut self, socket: &Path, filter: &LogFilter, last: Option<usize>) -> io::Result<()> {
        while self.lines.is_empty() && std::mem::take(&mut self.has_more) {
            let from = self.position.clone();
            let last = last.filter(|_| from.is_none());
            let page = Box::new(LogRequest { filter: filter.clone(), from, last });
            let answer = local_socket::request(socket, &AdminRequest::HubLog { hub: self.id, page }).await?;
            if let AdminResponse::HubLog(page) = answer {
                self.lines = page.lines.into_iter().filter_map(Line::parse).collect();
                (self.position, self.has_more, self.is_silent) = (Some(page.next), page.more, false);
            } else if let AdminResponse::Failed { reason } = answer {
                self.tell_silent(&reason);
            } else {
                self.tell_silent("the hub answered another question");
            }
        }
        Ok(())
    }

    fn tell_silent(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.is_silent, true) {
            output::warning(&format!("lines of {} are missing: {reason}", self.address));
        }
    }
}

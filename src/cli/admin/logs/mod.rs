//! `devstream hub logs`: the activity log, whether or not the hub runs; in a cluster, those of all hubs.

mod printer;
mod sources;

use std::io;
use std::path::Path;

use anyhow::anyhow;

use self::printer::LinePrinter;
use self::sources::Sources;
use crate::cli::Failure;
use crate::cli::args::Logs;
use crate::cli::output::{self, OutputError, stdio};
use crate::hub::state::{activity_log, admin_socket};
use crate::net::os::clock;
use crate::net::os::local_socket;
use crate::net::os::owner::explain;
use crate::proto::admin::{AdminRequest, AdminResponse, LogFilter};
use crate::proto::id::{Principal, Role};

/// The entries that --follow starts with, as `tail` does.
const LAST_LINES: usize = 10;

pub(in crate::cli) async fn run(logs: &Logs, state: &Path) -> Result<(), Failure> {
    let cannot = |error| cannot_read(&error, &activity_log(state));
    let since = logs.since.map(|age| clock::now_utc().before(age));
    let filter = LogFilter { device: logs.device.clone(), service: logs.service.clone(), since };
    let last = (logs.follow && since.is_none()).then_some(LAST_LINES);
    let mut sources = Sources::open(state, filter, last).await.map_err(cannot)?;
    let mut first = match last {
        Some(count) => sources.last(count).await.map_err(cannot)?,
        None => Default::default(),
    };
    let mut printer = LinePrinter::new(logs.json);
    let failed = |error| Failure::Other(OutputError::from(error).into());
    let mut is_open = true;
    while is_open {
        let next = match first.pop_front() {
            Some(line) => Some(line),
            None => sources.next().await.map_err(cannot)?,
        };
        if let Some((hub, line)) = next {
            is_open = printer.print(&line, hub.as_deref(), sources.width()).map_err(failed)?;
            continue;
        }
        is_open = printer.flush().map_err(failed)? && logs.follow && !stdio::is_closed();
        if is_open {
            sources.wait().await;
        }
    }
    if printer.printed == 0 && !logs.follow {
        output::eprint(&nothing_logged(logs, state).await);
    }
    tracing::debug!(target: "hub", "read {} bytes of the activity log", sources.bytes_read());
    Ok(())
}

fn cannot_read(error: &io::Error, path: &Path) -> Failure {
    let cause = if error.kind() == io::ErrorKind::NotFound {
        format!("{error}; check that a hub has run here")
    } else {
        explain(error, path)
    };
    Failure::Other(anyhow!("cannot read the activity log {}: {cause}", path.display()))
}

/// Words that nothing matches, and whether the hub knows the identity at all, if it runs.
async fn nothing_logged(logs: &Logs, state: &Path) -> String {
    let device = logs.device.clone().map(|id| Principal { role: Role::Device, id: id.into() });
    let service = logs.service.clone().map(|id| Principal { role: Role::Service, id: id.into() });
    let asked: Vec<_> = device.into_iter().chain(service).collect();
    let mut unknown = Vec::new();
    for principal in &asked {
        let request = AdminRequest::ShowIdentity { principal: principal.clone() };
        if let Ok(AdminResponse::Failed { reason }) = local_socket::request(&admin_socket(state), &request).await {
            unknown.push(format!("; {reason}"));
        }
    }
    let about = asked.iter().map(Principal::to_string).collect::<Vec<_>>().join(" and ");
    let about = if about.is_empty() { about } else { format!(" about {about}") };
    let since = if logs.since.is_some() { " in that time" } else { "" };
    format!("nothing is logged{about}{since}{}", unknown.concat())
}

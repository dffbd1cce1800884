//! What `devstream hub restore` has brought back: all is as it was when the backup was made, which may be wrong today.

use std::path::Path;

use crate::cli::output::{format_duration, warning as eprint};
use crate::hub::backup::{Change, LaterChange, Restored};
use crate::hub::registry::Record;
use crate::net::os::clock;
use crate::proto::admin::Enrolment;
use crate::proto::text;

/// The names that are listed of each kind: a screen at most.
const LISTED: usize = 20;

/// Says what a restore has brought back into a state directory, and what to look at.
pub(super) fn tell(restored: &Restored, state: &Path) {
    let Restored { made, devices, services, enrolments, later, .. } = restored;
    let identities = text::count(devices.len() + services.len(), "identity");
    let directory = state.display();
    eprint(&format!(
        "restored {identities} to {directory}; start it with the same --hostname and --listen as before: `devstream hub`"
    ));
    eprint(&match made {
        Some(made) => {
            let age = format_duration(clock::now_utc().since(*made));
            format!("the backup was made at {made}, {age} ago; everything is as it was then:")
        }
        None => "the backup does not say when it was made; everything is as it was then:".to_owned(),
    });
    list("devices", "devstream hub device list", devices.iter().map(identity));
    list("services", "devstream hub service list", services.iter().map(identity));
    list("enrolment keys with uses left", "devstream hub enroll list", enrolments.iter().map(enrolment));
    match later {
        Ok(Some(later)) if later.is_empty() => eprint("the logs there have no change of these after the backup"),
        Ok(Some(later)) => {
            let what = "changes after the backup, according to the logs there, which the restore has undone";
            list(what, "devstream hub logs", later.iter().map(undone));
        }
        Ok(None) => eprint(&format!(
            "no log there tells what has changed since; if the old directory still exists, copy its activity*.jsonl and \
             administration.jsonl here before restoring: move {directory} away, copy them into a new one, and restore again. \
             Otherwise remove once more what was removed, and rotate what has got another key, with `devstream hub \
             device|service remove|rotate ID` and `devstream hub enroll remove ID`",
        )),
        Err(error) => eprint(&format!(
            "cannot read the logs there: {error}; remove once more what was removed since, and rotate what has got \
             another key"
        )),
    }
}

fn list(what: &str, command: &str, entries: impl ExactSizeIterator<Item = String>) {
    let count = entries.len();
    eprint(&format!("{what}: {count}"));
    entries.take(LISTED).for_each(|entry| eprint(&format!("  {entry}")));
    if count > LISTED {
        eprint(&format!("  and {} more: `{command}` with the hub running", count - LISTED));
    }
}

fn identity(record: &Record) -> String {
    let key = match record.keys.first() {
        Some(key) => format!("key of {}", key.added),
        None => "has not joined".to_owned(),
    };
    let disabled = if record.disabled { ", disabled" } else { "" };
    format!("{}, {key}{disabled}", record.principal.id)
}

fn enrolment(key: &Enrolment) -> String {
    let left = key.uses.saturating_sub(key.used);
    let uses = text::count(key.uses, "use");
    format!("{} for {}, {left} of {uses} left until {}", key.id, key.devices, key.until)
}

/// Words a change that the restore has undone, with the next step.
fn undone(later: &LaterChange) -> String {
    let LaterChange { subject, change, at } = later;
    let id = subject.rsplit(' ').next().unwrap_or_default();
    let (role, _) = subject.split_once(' ').unwrap_or_default();
    let command = if role == "enrolment" { "enroll" } else { role };
    let (what, action) = match change {
        Change::Removed => ("was removed", format!("remove {id}")),
        Change::NewKey => ("got another key, and has the former one again", format!("rotate {id}")),
        Change::Disabled => ("was disabled", format!("disable {id}")),
        Change::Rescoped => ("got another scope, and has the former one again", format!("set {id} …")),
        Change::Used => ("was used, and has these uses again", format!("remove {id}")),
        Change::Added => ("was added, and is gone; it has to join again", format!("add {id}")),
    };
    format!("{subject} {what} ({at}): `devstream hub {command} {action}`")
}

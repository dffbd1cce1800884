//! The devices as the hub told them last, in a file beside the user's other caches.
//!
//! The hub is asked by another run of this program, which writes the file whenever it is done: a hub that is further away
//! than a person waits for is known at the next TAB.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::timeout;

use super::{MAX_CANDIDATES, REPLY_TIMEOUT};
use crate::cli::args::HubArgs;
use crate::cli::identity::StoredIdentity;
use crate::cli::paths;
use crate::cli::profile::Profile;
use crate::hub::state::{admin_socket, create_private_directory, read_private, write_private};
use crate::net::os::clock;
use crate::proto::admin::DeviceStatus;
use crate::proto::id::Role;
use crate::proto::join::HubAddress;
use crate::proto::timestamp::Timestamp;

/// A few TABs of one line ask once.
const FRESH_FOR: Duration = Duration::from_secs(10);

/// What is older is not offered, even where nothing newer is to be had.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// Each of them with a hundred streams and their names; a file that is longer is not ours.
const FILE_BYTES: u64 = 16 * 1024 * 1024;

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
struct CachedDevices {
    at: Timestamp,
    /// By whom: a profile may be pointed at another hub.
    hub: Vec<HubAddress>,
    devices: Vec<DeviceStatus>,
}

/// The devices that may be reached, as far as that is known or can be asked quickly, with these flags.
pub(super) fn devices(hub_args: &HubArgs, flags: &[String]) -> Vec<DeviceStatus> {
    let Ok(profile) = Profile::resolve(hub_args.profile.as_ref()) else { return Vec::new() };
    if !has_hub(&profile) {
        return Vec::new();
    }
    let (Ok(file), Ok(hub)) = (paths::device_cache(&profile), hub(&profile, hub_args)) else { return Vec::new() };
    if let Some(cached) = read(&file, &hub, FRESH_FOR) {
        return cached.devices;
    }
    let _ = refresh(flags, &file);
    read(&file, &hub, MAX_AGE).map(|cached| cached.devices).unwrap_or_default()
}

/// Keeps what the hub told. Whoever asked has the answer, whether or not it can be kept.
pub(in crate::cli) fn store(hub_args: &HubArgs, devices: &[DeviceStatus]) {
    let keep = || {
        let profile = Profile::resolve(hub_args.profile.as_ref())?;
        let file = paths::device_cache(&profile)?;
        create_private_directory(file.parent().context("a file has a directory")?)?;
        let devices = devices.iter().take(MAX_CANDIDATES).cloned().collect();
        let cached = CachedDevices { at: clock::now_utc(), hub: hub(&profile, hub_args)?, devices };
        write_private(&file, &serde_json::to_string(&cached)?)
    };
    if let Err(error) = keep() {
        tracing::debug!(target: "devices", "not kept for completions: {error:#}");
    }
}

/// Who is asked: whoever was named, else the one that was joined; of the same user's hub the address is nobody's concern.
fn hub(profile: &Profile, hub_args: &HubArgs) -> anyhow::Result<Vec<HubAddress>> {
    if !hub_args.hub.is_empty() {
        return Ok(hub_args.hub.clone());
    }
    Ok(StoredIdentity::load(profile, Role::Service)?.map(|joined| joined.hub).into_iter().collect())
}

/// Whether somebody can be asked at all. A TAB makes no key.
fn has_hub(profile: &Profile) -> bool {
    let own = || profile.is_default() && paths::hub_state(None).is_ok_and(|state| admin_socket(&state).exists());
    StoredIdentity::load(profile, Role::Service).is_ok_and(|joined| joined.is_some()) || own()
}

fn read(file: &Path, hub: &[HubAddress], age: Duration) -> Option<CachedDevices> {
    let length = std::fs::metadata(file).ok()?.len();
    let text = (length <= FILE_BYTES).then(|| read_private(file).ok()).flatten()?;
    let cached: CachedDevices = serde_json::from_str(&text).ok()?;
    let now = clock::now_utc();
    // What a clock that was wrong has written would be fresh until then.
    (cached.hub == hub && cached.at <= now && now.since(cached.at) <= age).then_some(cached)
}

/// Has another run of this program ask, and waits for it, but not long. One asks at a time: it holds the lock for as long
/// as it runs, since that is its standard input.
fn refresh(flags: &[String], file: &Path) -> anyhow::Result<()> {
    create_private_directory(file.parent().context("a file has a directory")?)?;
    let lock = lock(file.with_extension("lock"))?;
    let program = std::env::current_exe()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut child = Command::new(program)
            .args(["devices", "--json"])
            .args(flags)
            .stdin(Stdio::from(lock))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let status = timeout(REPLY_TIMEOUT, child.wait()).await??;
        ensure!(status.success(), "the hub was not reached");
        Ok(())
    })
}

fn lock(path: PathBuf) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    // Windows locks no file that is opened to append alone.
    options.create(true).read(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let lock = options.open(path)?;
    lock.try_lock()?;
    Ok(lock)
}

//! The cache of the hub's devices, a file in the user's cache directory.
//!
//! A child process requests the list and writes the file whenever it is done: the devices of a slow hub are known at
//! the next TAB.

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

/// The age up to which the cache is used as it is: several TABs on one line make one request.
const FRESH_FOR: Duration = Duration::from_secs(10);

/// The age up to which the cache is used where the hub does not answer.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// The limit on the file: [`MAX_CANDIDATES`] devices with a hundred streams each fit.
const FILE_BYTES: u64 = 16 * 1024 * 1024;

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
struct CachedDevices {
    at: Timestamp,
    /// The hub that sent the list: a profile may be used with another one.
    hub: Vec<HubAddress>,
    devices: Vec<DeviceStatus>,
}

/// Returns the devices in reach, from the cache or a hub that answers quickly.
pub(super) fn devices(hub_args: &HubArgs, flags: &[String]) -> Vec<DeviceStatus> {
    let Ok(profile) = Profile::resolve(hub_args.profile.as_ref()) else { return Vec::new() };
    if !has_hub(&profile) {
        return Vec::new();
    }
    let (Ok(file), Ok(hub)) = (paths::device_cache(profile.as_str()), hub(&profile, hub_args)) else {
        return Vec::new();
    };
    if let Some(cached) = read(&file, &hub, FRESH_FOR) {
        return cached.devices;
    }
    let _ = refresh(flags, &file);
    read(&file, &hub, MAX_AGE).map(|cached| cached.devices).unwrap_or_default()
}

/// Stores the hub's list. A failure is only logged: the list itself has been delivered.
pub(in crate::cli) fn store(hub_args: &HubArgs, devices: &[DeviceStatus]) {
    let write = || {
        let profile = Profile::resolve(hub_args.profile.as_ref())?;
        let file = paths::device_cache(profile.as_str())?;
        create_private_directory(file.parent().context("a file has a directory")?)?;
        let devices = devices.iter().take(MAX_CANDIDATES).cloned().collect();
        let cached = CachedDevices { at: clock::now_utc(), hub: hub(&profile, hub_args)?, devices };
        write_private(&file, &serde_json::to_string(&cached)?)
    };
    if let Err(error) = write() {
        tracing::debug!(target: "devices", "could not cache the devices for completions: {error:#}");
    }
}

/// Returns the addresses that identify the hub: those given, else the joined one; none for the hub of the same user.
fn hub(profile: &Profile, hub_args: &HubArgs) -> anyhow::Result<Vec<HubAddress>> {
    if !hub_args.hub.is_empty() {
        return Ok(hub_args.hub.clone());
    }
    Ok(StoredIdentity::load(profile, Role::Service)?.map(|joined| joined.hub).into_iter().collect())
}

/// Reports whether there is a hub to ask. Checked first, since a client would create a key.
fn has_hub(profile: &Profile) -> bool {
    let own = || profile.is_default() && paths::hub_state(None).is_ok_and(|state| admin_socket(&state).exists());
    StoredIdentity::load(profile, Role::Service).is_ok_and(|joined| joined.is_some()) || own()
}

fn read(file: &Path, hub: &[HubAddress], age: Duration) -> Option<CachedDevices> {
    let length = std::fs::metadata(file).ok()?.len();
    let text = (length <= FILE_BYTES).then(|| read_private(file).ok()).flatten()?;
    let cached: CachedDevices = serde_json::from_str(&text).ok()?;
    let now = clock::now_utc();
    // A time in the future, from a clock that was wrong, is not fresh.
    (cached.hub == hub && cached.at <= now && now.since(cached.at) <= age).then_some(cached)
}

/// Starts a child process that requests the list, and waits for it up to [`REPLY_TIMEOUT`]. Only one runs at a time:
/// its standard input is the lock file, which stays locked as long as it runs.
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
        ensure!(status.success(), "the hub did not answer");
        Ok(())
    })
}

fn lock(path: PathBuf) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    // Windows does not lock a file that is opened for appending only.
    options.create(true).read(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let lock = options.open(path)?;
    lock.try_lock()?;
    Ok(lock)
}

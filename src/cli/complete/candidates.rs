//! The candidates that are not the hub's own: devices, their streams, logins and profiles.

use std::ffi::OsStr;

use clap_complete::engine::CompletionCandidate;

use super::{argv, device_cache, list};
use crate::cli::config::role_settings;
use crate::cli::profile::Profile;
use crate::proto::admin::DeviceStatus;

/// Returns the devices in reach, with their state.
pub(super) fn devices() -> Vec<CompletionCandidate> {
    let candidate =
        |device: DeviceStatus| CompletionCandidate::new(device.id.as_str()).help(Some(state(&device).into()));
    cached_devices().into_iter().map(candidate).collect()
}

/// Returns the devices after the user that was typed, as in `root@pi-42`.
pub(super) fn logins(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let (user, prefix) = typed.rsplit_once('@').map_or(("", typed), |(user, _)| typed.split_at(user.len() + 1));
    let matching = cached_devices().into_iter().filter(|device| device.id.as_str().starts_with(prefix));
    let candidate = |device: DeviceStatus| {
        CompletionCandidate::new(format!("{user}{}", device.id)).help(Some(state(&device).into()))
    };
    matching.map(candidate).collect()
}

fn state(device: &DeviceStatus) -> String {
    match &device.online {
        Some(presence) => format!("online, offers {}", list(&presence.forwards)),
        None => "offline".into(),
    }
}

/// Returns the streams of the device that was typed, else of all devices.
pub(super) fn streams() -> Vec<CompletionCandidate> {
    stream_names().into_iter().map(CompletionCandidate::new).collect()
}

/// Returns the streams after the port that was typed, as in `8080=web`.
pub(super) fn locals(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some((port, prefix)) = typed.to_str().and_then(|typed| typed.split_once('=')) else { return Vec::new() };
    let matching = stream_names().into_iter().filter(|name| name.starts_with(prefix));
    matching.map(|name| CompletionCandidate::new(format!("{port}={name}"))).collect()
}

/// Returns the profiles of this machine.
pub(super) fn profiles() -> Vec<CompletionCandidate> {
    Profile::all().unwrap_or_default().iter().map(|profile| CompletionCandidate::new(profile.as_str())).collect()
}

fn stream_names() -> Vec<String> {
    let device = argv::value("device");
    let is_typed = |status: &DeviceStatus| device.as_deref().is_none_or(|device| device == status.id.as_str());
    let online = cached_devices().into_iter().filter(is_typed).filter_map(|status| status.online);
    let mut names: Vec<_> = online.flat_map(|presence| presence.forwards).map(String::from).collect();
    names.sort();
    names.dedup();
    names
}

fn cached_devices() -> Vec<DeviceStatus> {
    // Flags that select the hub, and how it is reached.
    let flags = argv::flags(&["hub", "ca", "via", "via-login", "profile"]);
    role_settings::devices(&flags).map(|devices| device_cache::devices(&devices.hub, &flags)).unwrap_or_default()
}

//! Where things are kept: all below the platform's data directory, so that HOME and XDG_* move everything.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::proto::id::{Principal, Role};

/// devstream's place in the data directory.
fn data() -> anyhow::Result<PathBuf> {
    let base = dirs::data_dir().context("there is no home directory to keep things in; set HOME")?;
    Ok(base.join("devstream"))
}

/// The hub's state directory: the one given, else the user's own.
pub(super) fn hub_state(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    given.map_or_else(|| Ok(data()?.join("hub")), |given| Ok(given.into()))
}

/// Where the identity of one role is kept once this machine has joined.
pub(super) fn identity(role: Role) -> anyhow::Result<PathBuf> {
    Ok(data()?.join(role.as_str()))
}

/// The key of an identity that enrols itself with the same user's hub.
pub(super) fn local_key(principal: &Principal) -> anyhow::Result<PathBuf> {
    Ok(data()?.join("local").join(format!("{}-{}.key", principal.role, principal.id)))
}

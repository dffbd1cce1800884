//! `devstream join`: a key is made here, its public half goes to the hub with the one-time code.

use std::io::Read as _;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use http::StatusCode;

use super::args::Join;
use super::identity::{Joined, trust};
use super::{Failure, text};
use crate::net::client::{Client, Particulars, refusal};
use crate::net::random;
use crate::proto::http::Route;
use crate::proto::id::Role;
use crate::proto::join::{JoinLink, JoinRequest};
use crate::proto::key::PrivateKey;
use crate::proto::limits::DIAL_TIMEOUT;
use crate::proto::refusal::{Kind, Refusal};

/// A pasted link is far shorter.
const LINK_BYTES: u64 = 4096;

pub(super) async fn run(join: Join) -> Result<(), Failure> {
    let typed = match join.link {
        Some(link) => link,
        None => from_standard_input()?,
    };
    let link: JoinLink = bare(&typed).parse().map_err(|error| Failure::Usage(anyhow!("{error}")))?;
    let seed = random::secret();
    let key = PrivateKey::from_seed(&seed);
    let body =
        serde_json::to_vec(&JoinRequest { code: link.code.clone(), key: key.public() }).context("cannot join")?;
    let trust = trust(join.trust.ca.as_deref(), link.pin)?;
    let client = Client::new(link.hub.clone(), &trust, link.principal.clone(), Arc::new(key)).context("cannot join")?;
    let client = client.allowing_tls_inspection(join.trust.allow_tls_inspection);
    let particulars = Particulars { body: body.into(), patience: DIAL_TIMEOUT, ..Particulars::default() };
    let response = client.ask(&Route::Join, particulars).await?;
    if response.status() != StatusCode::NO_CONTENT {
        return Err(explain(refusal(&response)).into());
    }
    let joined = Joined { id: link.principal.id.clone(), hub: link.hub, pin: link.pin };
    let place = joined.store(link.principal.role, &seed)?;
    text::err(&format!("joined {} as {}; the key is in {}", joined.hub, link.principal, place.display()));
    text::err(match link.principal.role {
        Role::Device => "next: devstream device-agent --forward 22",
        Role::Service => "next: devstream service-proxy --device ID --local 2222",
    });
    Ok(())
}

/// The hub says no more than that the credentials are wrong; here they are a code.
fn explain(refusal: Refusal) -> Refusal {
    if refusal.kind == Kind::AuthenticationFailed {
        return Refusal::new(
            Kind::AuthenticationFailed,
            "the join link was used before, has expired, or is not this hub's",
        );
    }
    refusal
}

fn from_standard_input() -> Result<String, Failure> {
    let mut typed = String::new();
    let read = std::io::stdin().lock().take(LINK_BYTES).read_to_string(&mut typed);
    read.context("cannot read the join link from standard input")?;
    Ok(typed)
}

/// The link itself, also out of the whole line that a hub prints.
fn bare(typed: &str) -> &str {
    let typed = typed.trim();
    let typed = typed.strip_prefix("devstream join").unwrap_or(typed).trim();
    typed.trim_matches(['\'', '"'])
}

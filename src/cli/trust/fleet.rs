//! `devstream trust fleet`: the fleet that an identity of this machine trusts, and the certificate that it has from it.

use anyhow::{Context as _, anyhow};

use super::{confirm_removal, joined, nothing_joined};
use crate::cli::identity::StoredIdentity;
use crate::cli::profile::Profile;
use crate::cli::service::service_with_key;
use crate::cli::{Failure, output};
use crate::net::e2e::fleet::verify_own;
use crate::net::e2e::leaf::Voucher;
use crate::net::os::clock;
use crate::proto::fleet::{Fleet, FleetKeys, MAX_CERTIFICATE_BYTES, may_begin};
use crate::proto::id::{Principal, Role};
use crate::proto::key::PublicKey;

/// What is to become of the fleet that identities trust.
pub(super) enum Change {
    Show,
    Remove { yes: bool },
    Trust { keys: FleetKeys, certificate: Option<String> },
}

pub(super) fn run(profile: &Profile, role: Option<Role>, change: Change) -> Result<(), Failure> {
    let mut identities = Vec::new();
    for joined in joined(profile)?.into_iter().filter(|joined| role.is_none_or(|role| role == *joined)) {
        identities.extend(StoredIdentity::load(profile, joined)?.map(|stored| (joined, stored)));
    }
    if identities.is_empty() {
        return Err(nothing_joined(profile));
    }
    match change {
        Change::Show => identities.iter().for_each(|(role, stored)| show(*role, stored)),
        Change::Remove { yes } => remove(profile, identities, yes)?,
        Change::Trust { keys, certificate } => trust(profile, identities, keys, certificate.as_deref())?,
    }
    Ok(())
}

fn show(role: Role, stored: &StoredIdentity) {
    match &stored.fleet {
        Some(Fleet { keys, since }) => output::print(&format!("{role} {} trusts {keys} since {since}", stored.id)),
        None => output::eprint(&format!("{role} {} trusts no fleet: the keys that are known count", stored.id)),
    }
}

fn trust(
    profile: &Profile,
    identities: Vec<(Role, StoredIdentity)>,
    keys: FleetKeys,
    certificate: Option<&str>,
) -> Result<(), Failure> {
    let mut fleet = Fleet { keys, since: clock::now_utc() };
    let certificate = certificate.map(parse).transpose()?;
    let mut certified = None;
    for (role, stored) in &identities {
        let owner = Principal { role: *role, id: stored.id.clone() };
        let key = StoredIdentity::key(profile, *role)?.public();
        let verified = certificate.as_ref().map(|voucher| verify_own(voucher, &owner, &key, &fleet, fleet.since));
        if let Some(Ok(validity)) = verified {
            certified = Some((*role, validity));
        }
    }
    if certificate.is_some() && certified.is_none() {
        return Err(anyhow!(
            "the certificate is not this machine's: it is for another id, role or key than `devstream identity` shows, of another \
             fleet, or has expired; nothing was changed"
        )
        .into());
    }
    if let Some((_, validity)) = certified.filter(|(_, validity)| !may_begin(validity.not_before, fleet.since)) {
        return Err(anyhow!(
            "the certificate begins on {}, and today is {} by this machine's clock; correct the clock that is wrong, and sign again \
             if that is the one where the fleet key is; nothing was changed",
            &validity.not_before.rfc3339()[..10],
            &fleet.since.rfc3339()[..10]
        )
        .into());
    }
    // A machine without a clock knows by its certificate that this time has passed.
    fleet.since = certified.map_or(fleet.since, |(_, validity)| fleet.since.max(validity.not_before));
    for (role, mut stored) in identities {
        let dropped = stored.fleet.and_then(|former| former.keys.without_recovery(&keys));
        stored.fleet = Some(fleet);
        if certified.is_some_and(|(of, _)| of == role) {
            stored.certificate = certificate.as_ref().map(ToString::to_string);
        }
        stored.save(profile, role)?;
        let own = match certified.filter(|(of, _)| *of == role) {
            Some((_, validity)) => format!("its own key is signed until {}", &validity.not_after.rfc3339()[..10]),
            None if stored.certificate.is_some() && is_still_signed(profile, role, &stored, &fleet)? => {
                "its own certificate is as before".to_owned()
            }
            None if stored.certificate.is_some() => {
                "its own certificate is of another fleet, or does not hold: peers in this one refuse it".to_owned()
            }
            None => "its own key is not signed: peers in the fleet refuse it".to_owned(),
        };
        output::eprint(&format!(
            "{role} {} trusts the fleet {}, and refuses every peer whose key this fleet has not signed; {own}{}{}",
            stored.id,
            keys.short(),
            dropped.map(no_recovery).unwrap_or_default(),
            restart(profile, role)?
        ));
    }
    Ok(())
}

/// Words that a fleet's other key was trusted before, and is not any more.
fn no_recovery(dropped: PublicKey) -> String {
    format!(
        "; what its other key {} signs, which may be the recovery key, is refused from now on: name both, with a comma between them, \
         to trust it as before",
        dropped.short()
    )
}

/// Reports whether this fleet has signed the certificate that an identity has already.
fn is_still_signed(profile: &Profile, role: Role, stored: &StoredIdentity, fleet: &Fleet) -> anyhow::Result<bool> {
    let Some(voucher) = stored.certificate.as_deref().and_then(Voucher::parse) else { return Ok(false) };
    let owner = Principal { role, id: stored.id.clone() };
    let key = StoredIdentity::key(profile, role)?.public();
    Ok(verify_own(&voucher, &owner, &key, fleet, fleet.since).is_ok())
}

fn parse(certificate: &str) -> Result<Voucher, Failure> {
    let fits = certificate.len() <= MAX_CERTIFICATE_BYTES;
    let voucher = fits.then(|| Voucher::parse(certificate)).flatten();
    let voucher =
        voucher.context("--certificate: this is none; copy the whole command that `devstream fleet sign` printed");
    voucher.map_err(Failure::Usage)
}

fn remove(profile: &Profile, identities: Vec<(Role, StoredIdentity)>, yes: bool) -> Result<(), Failure> {
    let trusting: Vec<_> = identities.into_iter().filter(|(_, stored)| stored.fleet.is_some()).collect();
    if trusting.is_empty() {
        output::eprint("no fleet is trusted; nothing was changed");
        return Ok(());
    }
    confirm_removal(yes)?;
    for (role, mut stored) in trusting {
        stored.fleet = None;
        stored.save(profile, role)?;
        output::eprint(&format!(
            "{role} {} trusts no fleet any more: the keys that are known count, and that of a new peer is kept{}",
            stored.id,
            restart(profile, role)?
        ));
    }
    Ok(())
}

/// Words how a role that runs takes the change on.
fn restart(profile: &Profile, role: Role) -> anyhow::Result<String> {
    let directory = profile.identity_directory(role)?;
    Ok(match service_with_key(profile, role, &directory, None) {
        Some(service) => format!("; next: systemctl restart {}", service.name),
        None => match role {
            Role::Device => {
                "; its device-agent, if it runs, takes this up within seconds; streams that are open go on".into()
            }
            Role::Service => {
                "; its service-proxies, if any run, take this up within seconds; streams that are open go on".into()
            }
        },
    })
}

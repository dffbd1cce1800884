//! `devstream join`: generates a key, and sends its public half to the hub with the code of the join link.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http::{Response, StatusCode};

use super::identity::{IdentityDir, StoredIdentity, code_hash, machine_id, trust};
use crate::cli::args::{Join, TrustArgs};
use crate::cli::profile::Profile;
use crate::cli::service::service_with_key;
use crate::cli::status::{running_role, waiting_role};
use crate::cli::trust::forget_former_hub;
use crate::cli::{Failure, output, pasted_link};
use crate::net::client::{Client, RequestError, RequestOptions, response_refusal};
use crate::net::e2e::leaf;
use crate::net::os::clock;
use crate::net::tls::Trust;
use crate::proto::fleet::Fleet;
use crate::proto::http::{Route, STREAMING_ENDPOINT_HEADER};
use crate::proto::id::{DeviceId, Principal, Role};
use crate::proto::invitation::{FRAGMENT, Invitation, prove};
use crate::proto::join::{HubAddress, JoinLink, JoinRequest};
use crate::proto::key::PrivateKey;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::secret::KeySeed;
use crate::proto::status::RoleStatus;
use crate::proto::via::ProxySettings;

/// The words about an invitation that others have seen.
const INVITATION_IN_ARGUMENT: &str = "a link with an invitation, after its #, is a secret, and arguments are visible to every user: run \
    `devstream join` without it, and paste it when asked, or `devstream join < FILE`; if others use this machine, make another \
    one with `devstream fleet invite`";

/// What is said where there is no link.
const NO_LINK: &str =
    "run the command that `devstream hub device add` or `devstream hub service add` printed, or paste its link here";

pub(super) async fn run(join: Join) -> Result<(), Failure> {
    let given = join.link.is_some();
    let typed = match join.link {
        Some(link) if link.contains(FRAGMENT) => return Err(Failure::Usage(anyhow!(INVITATION_IN_ARGUMENT))),
        Some(link) => link,
        None => pasted_link::read("Paste the join link and press Enter:", NO_LINK)?,
    };
    let parsed = JoinLink::parse_invited(pasted_link::extract(&typed));
    let (link, invitation) = parsed.map_err(|error| Failure::Usage(anyhow!("{error}")))?;
    let principal = principal(&link, join.id, given).map_err(Failure::Usage)?;
    let proxy = join.via.proxy_settings()?;
    let profile = Profile::resolve(join.profile.as_ref())?;
    let stored = StoredIdentity::load(&profile, principal.role)?;
    let (other_hub, same_hub) = match &stored {
        Some(stored) if stored.matches_hub(&link) => (None, Some(stored.hub.clone())),
        Some(stored) => (Some(stored.hub.clone()), None),
        None => (None, None),
    };
    let is_new_role = stored.is_none();
    if let Some(joined) = stored.as_ref().filter(|_| !join.replace) {
        ensure_same_identity(&profile, joined, &principal, &link).map_err(Failure::Usage)?;
    }
    if let (Some(stored), Some(invitation)) = (&stored, &invitation) {
        ensure_same_fleet(stored, invitation).map_err(Failure::Usage)?;
    }
    let trust = trust(join.trust.ca.as_deref(), link.pin)?;
    let joining = Joining { link, invitation, principal, profile, trust, proxy, trust_args: join.trust };
    if let Some(stored) = stored.filter(|stored| stored.id == joining.principal.id && stored.joined_with(&joining.link))
        && joining.is_joined().await?
    {
        return joining.keep(stored).await;
    }
    let joined = joining.redeem().await?;
    let Joining { principal, profile, .. } = &joining;
    let directory = profile.identity_directory(principal.role)?;
    output::eprint(&format!("joined {} as {principal}; the key is in {}", joined.hub, directory.display()));
    if let Some(former) = other_hub {
        forget_former_hub(profile, principal.role, &former)?;
    }
    match &joined.fleet {
        Some(fleet) if joining.invitation.is_some() => output::eprint(&joining.trusts(fleet)),
        Some(_) => output::warning(&unsigned(principal, profile)?),
        None => in_no_fleet(principal, profile)?.iter().for_each(|note| output::warning(note)),
    }
    if let Some(note) = other_role(profile, principal)?.filter(|_| is_new_role) {
        output::warning(&note);
    }
    // One that runs may have the address by which the hub was joined before.
    let hubs: Vec<_> = same_hub.into_iter().chain([joined.hub]).collect();
    output::eprint(&running_or_next(principal, profile, &hubs).await?);
    Ok(())
}

/// A machine and a link for it.
struct Joining {
    link: JoinLink,
    /// The link's part for the machine, which the hub does not get.
    invitation: Option<Invitation>,
    principal: Principal,
    profile: Profile,
    trust: Trust,
    proxy: ProxySettings,
    trust_args: TrustArgs,
}

impl Joining {
    /// Redeems the code for a new key, and stores that. Of a key that the hub has refused nothing is left.
    async fn redeem(&self) -> Result<StoredIdentity, Failure> {
        let Self { link, principal, profile, .. } = self;
        let identity_dir = IdentityDir::of(profile, principal.role)?;
        let (seed, is_new) = identity_dir.pending_seed()?;
        let response = match self.request(PrivateKey::from_seed(&seed)).await? {
            Ok(response) => response,
            Err(RequestError::Refused(refusal)) => {
                if is_new {
                    identity_dir.discard_pending_seed();
                }
                return Err(unreached(refusal).into());
            }
            Err(RequestError::Lost(refusal)) => {
                output::warning(&format!(
                    "the hub may have received this machine's new key: it is kept in {}, and another try with the same link \
                     uses it",
                    identity_dir.pending_key().display()
                ));
                return Err(refusal.into());
            }
        };
        if response.status() != StatusCode::NO_CONTENT {
            let refusal = response_refusal(&response);
            // A change that hubs could not store in time may be stored yet: then another try with the same key has joined.
            if is_new && refusal.kind != RefusalKind::ChangesRefused {
                identity_dir.discard_pending_seed();
            }
            return Err(self.explain(refusal)?);
        }
        let streaming_endpoint = streaming_endpoint(&response)?;
        let (hub, code_hash) = (link.hub.clone(), Some(code_hash(link)));
        let succession = succession(&self.profile, principal, &seed)?;
        // A fleet is trusted whichever hub there is; what it signed was the former key.
        let former = StoredIdentity::load(&self.profile, principal.role)?;
        let fleet = self.fleet(former.and_then(|former| former.fleet));
        let id = principal.id.clone();
        let (pin, certificate) = (link.pin, None);
        let joined = StoredIdentity { id, hub, pin, streaming_endpoint, code_hash, succession, certificate, fleet };
        identity_dir.store(&joined, &seed)?;
        Ok(joined)
    }

    /// Keeps the identity that joined with this link before; it may be invited to a fleet now.
    async fn keep(&self, mut stored: StoredIdentity) -> Result<(), Failure> {
        let Self { principal, profile, .. } = self;
        let already = format!("already joined {} as {principal}, with this link", stored.hub);
        if let Some(fleet) = self.fleet(None).filter(|_| stored.fleet.is_none()) {
            stored.fleet = Some(fleet);
            stored.save(profile, principal.role)?;
            output::eprint(&format!("{already}; {}", self.trusts(&fleet)));
        } else if self.invitation.is_some() {
            let next = "the machine with the fleet key checks it: devstream fleet sign";
            output::eprint(&format!("{already}; gave the hub the proof of this invitation; {next}"));
        } else {
            let hubs = [stored.hub.clone()];
            if let Some(RoleStatus { role, process, .. }) = running_role(principal, &hubs).await {
                output::eprint(&format!("{already}; nothing was changed, and the {role} runs (process {process})"));
                return Ok(());
            }
            output::eprint(&format!("{already}; nothing was changed"));
        }
        output::eprint(&running_or_next(principal, profile, &[stored.hub]).await?);
        Ok(())
    }

    /// Reports whether the hub knows the key that this machine has.
    async fn is_joined(&self) -> Result<bool, Failure> {
        let key = StoredIdentity::key(&self.profile, self.principal.role)?;
        Ok(self.request(key).await??.status() == StatusCode::NO_CONTENT)
    }

    /// Sends the key; the inner error says whether the hub may have received it.
    async fn request(&self, key: PrivateKey) -> Result<Result<Response<Bytes>, RequestError>, Failure> {
        let Self { link, principal, trust, proxy, trust_args, .. } = self;
        let prove = |invitation: &Invitation| prove(&invitation.secret, principal, &key.public());
        let proof = self.invitation.as_ref().map(prove);
        let body = serde_json::to_vec(&JoinRequest { code: link.code.clone(), key: key.public(), proof });
        let body = body.context("cannot join")?.into();
        let client = Client::new(link.hub.clone(), trust, principal.clone(), Arc::new(key)).context("cannot join")?;
        let client = client.allowing_tls_inspection(trust_args.allow_tls_inspection).with_proxy(proxy.clone());
        Ok(client.request(&Route::Join, RequestOptions { body, ..RequestOptions::default() }).await)
    }

    /// The fleet that the machine trusts from now on: the one that it did, else the invitation's.
    fn fleet(&self, former: Option<Fleet>) -> Option<Fleet> {
        let invited = |invitation: &Invitation| Fleet { keys: invitation.keys, since: clock::now_utc() };
        former.or_else(|| self.invitation.as_ref().map(invited))
    }

    /// Words what a machine that was invited does from now on.
    fn trusts(&self, fleet: &Fleet) -> String {
        let connect = if self.principal.role == Role::Device { "connect to it, or " } else { "" };
        format!(
            "{} trusts the fleet {}, and refuses every peer whose key this fleet has not signed; its own key is not signed yet: \
             next, on the machine with the fleet key: {connect}devstream fleet sign",
            self.principal,
            fleet.keys.short()
        )
    }

    /// Adds to a refused link what it was, and the hub's command for another.
    fn explain(&self, refusal: Refusal) -> Result<Failure, Failure> {
        let Principal { role, id } = &self.principal;
        let another = match (&self.link.id, refusal.kind) {
            (None, RefusalKind::LinkSpent | RefusalKind::AuthenticationFailed) => {
                "on the hub, `devstream hub enroll add --device GLOB --uses N` makes a new one".to_owned()
            }
            (Some(_), RefusalKind::LinkSpent) => {
                format!("on the hub, `devstream hub {role} rotate {id}` prints a new one")
            }
            (Some(_), RefusalKind::AuthenticationFailed) => {
                format!(
                    "on the hub, `devstream hub {role} add {id}` prints a new one, `devstream hub {role} rotate {id}` if \
                     another machine has joined"
                )
            }
            (None, RefusalKind::IdNotCovered) => {
                return Ok(Refusal::new(refusal.kind, format!("{id}; {}", refusal.detail)).into());
            }
            (None, RefusalKind::IdTaken) if self.has_joined()? => {
                let hub = &self.link.hub;
                let already = format!(
                    "this machine has joined {hub} as {} before, and an enrolment key gives an id once; nothing was changed",
                    self.principal
                );
                let new_key = format!("for a new key: on the hub, `devstream hub {role} rotate {id}`");
                return Ok(Failure::Advised(Refusal::worded(refusal.kind, already), new_key));
            }
            _ => return Ok(refusal.of(&self.principal).into()),
        };
        if refusal.kind == RefusalKind::LinkSpent {
            return Ok(Failure::Advised(refusal, another));
        }
        let unknown = "the hub does not know this join link: its code was altered, a newer one has replaced it, it was removed, \
                       or it is another hub's";
        Ok(Failure::Advised(Refusal::worded(refusal.kind, unknown), another))
    }

    /// Reports whether this machine has the identity that the link would give it.
    fn has_joined(&self) -> anyhow::Result<bool> {
        let stored = StoredIdentity::load(&self.profile, self.principal.role)?;
        Ok(stored.is_some_and(|stored| stored.id == self.principal.id && stored.matches_hub(&self.link)))
    }
}

/// Replaces what a machine that has joined does about a hub that it does not reach: this one has none to set an address for.
fn unreached(refusal: Refusal) -> Refusal {
    let advice = refusal.advice().unwrap_or(refusal.kind.row().hint).to_owned();
    if !advice.contains(SET_HUB) {
        return refusal;
    }
    let others = advice.split("; ").filter(|part| !part.contains(SET_HUB)).map(str::to_owned);
    let new_link =
        "if this machine knows the hub by another name: start it with that as --hostname, and make a new link";
    let all: Vec<_> = others.chain([new_link.to_owned()]).collect();
    refusal.advised(all.join("; "))
}

/// The command that changes the address of a hub that was joined.
const SET_HUB: &str = "devstream profiles set";

/// Words what this profile has joined as besides: a link that was pasted on the wrong machine shows by that.
fn other_role(profile: &Profile, Principal { role, id: own }: &Principal) -> anyhow::Result<Option<String>> {
    let other = !*role;
    Ok(StoredIdentity::load(profile, other)?.map(|StoredIdentity { id, hub, .. }| {
        let yes = if output::can_ask() { "" } else { " --yes" };
        format!(
            "this machine is also {other} {id} of {hub}; if the link was for another machine, undo this: devstream profiles \
             remove {profile} --role {role}{yes}, and on the hub: devstream hub {role} rotate {own}"
        )
    }))
}

/// Words that this identity trusts no fleet, where another one of this user does: a person may take that for the machine's.
fn in_no_fleet(own: &Principal, profile: &Profile) -> anyhow::Result<Option<String>> {
    for other in Profile::all()? {
        for role in [Role::Device, Role::Service] {
            // What cannot be read is no reason to fail here.
            let Ok(Some(StoredIdentity { id, fleet: Some(fleet), .. })) = StoredIdentity::load(&other, role) else {
                continue;
            };
            let place = if other == *profile { String::new() } else { format!(" in profile {other}") };
            return Ok(Some(format!(
                "{own} trusts no fleet, and {role} {id}{place} trusts {}: to have this one trust it too: devstream trust fleet {} \
                 --role {}{}",
                fleet.keys.short(),
                fleet.keys,
                own.role,
                profile.flag()
            )));
        }
    }
    Ok(None)
}

/// Words that the fleet which this machine trusts has yet to sign its new key.
fn unsigned(Principal { role, id }: &Principal, profile: &Profile) -> anyhow::Result<String> {
    let key = String::from(StoredIdentity::key(profile, *role)?.public());
    Ok(format!(
        "this machine's fleet has not signed its new key; where the fleet key is: devstream fleet sign {id} --role {role} --key {key}"
    ))
}

/// Words the next step: nothing, where a role that runs with this identity takes the new key up.
async fn running_or_next(principal: &Principal, profile: &Profile, hubs: &[HubAddress]) -> anyhow::Result<String> {
    let directory = profile.identity_directory(principal.role)?;
    let installed = service_with_key(profile, principal.role, &directory, None);
    let mut running = if installed.is_some() { None } else { running_role(principal, hubs).await };
    if installed.is_none() && running.is_none() && profile.is_default() {
        running = waiting_role(principal.role).await;
    }
    Ok(match running {
        Some(RoleStatus { role, process, .. }) => {
            format!("the running {role} (process {process}) takes this up by itself, within seconds")
        }
        None => next_step(profile, principal.role, &directory, None),
    })
}

/// Has the key that this machine had as the same identity vouch for the new one, so that peers that know it accept that.
fn succession(profile: &Profile, principal: &Principal, seed: &KeySeed) -> anyhow::Result<Option<String>> {
    let former = StoredIdentity::load(profile, principal.role)?.filter(|stored| stored.id == principal.id);
    let Some(Ok(former)) = former.map(|_| StoredIdentity::key(profile, principal.role)) else { return Ok(None) };
    let key = PrivateKey::from_seed(seed);
    Ok(Some(leaf::succession(principal, Arc::new(key), Arc::new(former))?.to_string()))
}

/// Returns where streams connect, as the hub says now; a hub of an earlier version does not.
fn streaming_endpoint(response: &Response<Bytes>) -> anyhow::Result<Option<HubAddress>> {
    let Some(endpoint) = response.headers().get(STREAMING_ENDPOINT_HEADER) else { return Ok(None) };
    let endpoint = endpoint.to_str().ok().and_then(|endpoint| endpoint.parse().ok());
    endpoint.map(Some).context("the hub sent an invalid streaming endpoint")
}

/// Fails if the link is for another identity than the stored one, which a link pasted on the wrong machine must not
/// replace. A new key for the same identity replaces the old one.
fn ensure_same_identity(
    profile: &Profile,
    joined: &StoredIdentity,
    principal: &Principal,
    link: &JoinLink,
) -> anyhow::Result<()> {
    if joined.id == principal.id && joined.matches_hub(link) {
        return Ok(());
    }
    let (role, before, hub) = (principal.role.as_str(), &joined.id, &joined.hub);
    bail!(
        "profile {profile} has already joined {hub} as {role} {before}: join with another profile (--profile NAME), or \
         replace that identity (--replace); the link was not used"
    )
}

/// Fails if the machine trusts another fleet than the one that invites it: a pasted link must not replace that.
fn ensure_same_fleet(stored: &StoredIdentity, invitation: &Invitation) -> anyhow::Result<()> {
    match stored.fleet {
        Some(Fleet { keys, .. }) if keys != invitation.keys => bail!(
            "this machine trusts the fleet {}, and the invitation is of {}; if that is right, first: devstream trust fleet --remove; \
             the link was not used",
            keys.short(),
            invitation.keys.short()
        ),
        _ => Ok(()),
    }
}

/// Words the next step, which makes use of the new key.
fn next_step(profile: &Profile, role: Role, identity: &Path, root: Option<&Path>) -> String {
    if let Some(service) = service_with_key(profile, role, identity, root) {
        let name = service.name;
        return format!("next: systemctl restart {name}, to load the new key");
    }
    match role {
        Role::Device => format!("next: devstream device-agent{} --forward 22", profile.flag()),
        Role::Service => format!("next: devstream ssh-config{} --install, and then: ssh ID.devstream", profile.flag()),
    }
}

/// Returns the identity to join as: the link's, or, if the link is for many machines, the machine's own.
fn principal(link: &JoinLink, given: Option<DeviceId>, as_argument: bool) -> anyhow::Result<Principal> {
    let id = match (&link.id, given) {
        (Some(id), None) => id.clone(),
        (Some(id), Some(given)) if id.as_str() == given.as_str() => id.clone(),
        (Some(id), Some(_)) => bail!("this link is for {id}; omit --id"),
        // An enrolment key stays valid for other machines, and arguments are visible to every user of this one.
        (None, _) if as_argument => bail!(
            "an enrolment key is a secret, and arguments are visible to every user: put the link into a private file, and \
             run `devstream join < FILE`; if others use this machine, create a new key"
        ),
        (None, Some(given)) => given.into(),
        (None, None) => machine_id()?,
    };
    Ok(Principal { role: link.role, id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn joining_with_a_services_identity_advises_its_restart() {
        let root = tempfile::tempdir().unwrap();
        let units = root.path().join("etc/systemd/system");
        std::fs::create_dir_all(&units).unwrap();
        let step = |role, identity| next_step(&Profile::default(), role, Path::new(identity), Some(root.path()));
        assert!(step(Role::Device, "/srv/device").contains("devstream device-agent"));
        let unit = "[Service]\nLoadCredential=key:/srv/device/key\n";
        std::fs::write(units.join("devstream-device-agent.service"), unit).unwrap();
        assert!(step(Role::Device, "/srv/device").contains("systemctl restart devstream-device-agent, "));
        assert!(!step(Role::Device, "/home/me/device").contains("systemctl"), "another user's");
        assert!(!step(Role::Service, "/srv/device").contains("systemctl"), "another role's");
    }

    #[test]
    #[cfg(unix)]
    fn joining_with_the_identity_of_an_enabled_packaged_service_advises_its_restart() {
        let root = tempfile::tempdir().unwrap();
        let [local, packaged, enabled] =
            ["etc/systemd/system", "usr/lib/systemd/system", "etc/systemd/system/multi-user.target.wants"]
                .map(|directory| root.path().join(directory));
        [&local, &packaged, &enabled].into_iter().for_each(|directory| std::fs::create_dir_all(directory).unwrap());
        let (profile, identity) = (Profile::default(), Path::new("/srv/device"));
        let found = || service_with_key(&profile, Role::Device, identity, Some(root.path()));
        let name = "devstream-device-agent.service";
        let unit = "[Service]\nLoadCredential=key:/srv/device/key\n";
        std::fs::write(packaged.join(name), unit).unwrap();
        assert!(found().is_none(), "installed with the package, not enabled");
        std::os::unix::fs::symlink(Path::new("/usr/lib/systemd/system").join(name), enabled.join(name)).unwrap();
        assert!(next_step(&profile, Role::Device, identity, Some(root.path())).contains("systemctl restart"));
        assert_eq!(found().unwrap().uninstall_command, "systemctl disable --now devstream-device-agent");
        std::fs::write(local.join(name), unit).unwrap();
        assert_eq!(
            found().unwrap().uninstall_command,
            "devstream service uninstall device-agent",
            "the local unit overrides the packaged one"
        );
    }
}

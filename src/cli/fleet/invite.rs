//! `devstream fleet invite`: adds to a join link what its hub must not see.

use anyhow::anyhow;

use crate::cli::signer::Store;
use crate::cli::trust::peer;
use crate::cli::{Failure, output, pasted_link};
use crate::net::os::clock;
use crate::net::os::random;
use crate::proto::id::{PrincipalId, Role};
use crate::proto::invitation::{FRAGMENT, Invitation};
use crate::proto::invitations::{INVITATION_TIME, InvalidInvited, Invited, Issued};
use crate::proto::join::JoinLink;

/// The words about a link that others have seen.
const LINK_IN_ARGUMENT: &str = "give no link as an argument, since arguments are visible to every user: run `devstream fleet invite`, \
    and paste it when asked; if others use this machine, have the hub make another link";

pub(super) fn run(store: &Store, given: Option<&str>) -> Result<(), Failure> {
    if given.is_some_and(|given| given.contains("://")) {
        return Err(Failure::Usage(anyhow!(LINK_IN_ARGUMENT)));
    }
    let given =
        given.map(str::parse).transpose().map_err(|error: InvalidInvited| Failure::Usage(anyhow!("{error}")))?;
    let (keys, _) = store.load()?;
    let typed = pasted_link::read(
        "Paste the join link that the hub printed, and press Enter:",
        "paste here the one that `devstream hub device add` or `devstream hub service add` printed",
    )?;
    let link = pasted_link::extract(&typed);
    if link.contains(FRAGMENT) {
        let why = "this link has something after a # already: take the one that the hub printed, since each invitation is for one \
                   machine";
        return Err(Failure::Usage(anyhow!(why)));
    }
    let link: JoinLink = link.parse().map_err(|error| Failure::Usage(anyhow!("{error}")))?;
    let invited = invited(&link, given).map_err(Failure::Usage)?;
    let (secret, until) = (random::secret::<32>(), clock::now_utc().after(INVITATION_TIME));
    let invitation = Invitation { keys, secret: secret.clone() };
    let (role, day) = (link.role, &until.rfc3339()[..10]);
    if let Invited::Id(id) = &invited
        && let Some(known) = store.signed().read()?.get(&peer(role, id.clone()))
    {
        output::warning(&format!(
            "{role} {id} is signed already, with the key {}: the machine that joins with this link takes its place. If that is not meant, \
             devstream fleet forget {id} --role {role}, and sign it again",
            known.key.short()
        ));
    }
    let issued = Issued { secret, until, role, invited: invited.clone(), used: None };
    store.change_invitations(|all| all.add(issued))?.map_err(anyhow::Error::from)?;
    output::print(&format!("{}{FRAGMENT}{}", link.reveal(), invitation.reveal()));
    let is_named = matches!(invited, Invited::Id(_));
    let (who, sign) = match invited {
        Invited::Id(id) => (format!("{role} {id}"), format!("devstream fleet sign {id} --role {role}")),
        Invited::Matching(glob) => (format!("one {role} whose id matches {glob}"), "devstream fleet sign".to_owned()),
    };
    // Streams from here go to devices.
    let when = if role == Role::Device && is_named { "at the first stream from here to it, or by" } else { "by" };
    output::eprint(&format!(
        "a secret link for {who}. Use it before the hub's link ends (15 minutes unless --link-for); the invitation itself ends {day}. \
         Run `devstream join` there, without an argument, and paste it when asked. The machine trusts the fleet then; its key is signed \
         {when}: {sign}"
    ));
    Ok(())
}

/// Returns the machine that the link is for, as sessions look it up. An enrolment key names none, and whoever has its link and a
/// hub on their side could pass for any machine: its owner says which one may use it.
fn invited(link: &JoinLink, given: Option<Invited>) -> anyhow::Result<Invited> {
    let named = |id: PrincipalId| Invited::Id(peer(link.role, id).id);
    let given = match given {
        Some(Invited::Id(id)) => Some(named(id)),
        Some(Invited::Matching(glob)) if link.role == Role::Device => Some(Invited::Matching(glob.lower_case())),
        given => given,
    };
    match (link.id.clone().map(named), given) {
        (Some(id), Some(given)) if id != given => Err(anyhow!(
            "this link is for {id}, and not for {given}: whoever joins with it is {id} to the whole fleet. Have the hub make a link for \
             {given}"
        )),
        (Some(id), _) => Ok(id),
        (None, Some(given)) => Ok(given),
        (None, None) => Err(anyhow!(
            "this link is an enrolment key, which names no machine: say which one may use the invitation, by its id or a pattern that \
             its id matches: devstream fleet invite pi-42, or devstream fleet invite 'pi-*'"
        )),
    }
}

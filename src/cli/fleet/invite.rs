//! `devstream fleet invite`: adds to a join link what its hub must not see.

use anyhow::anyhow;

use crate::cli::signer::Store;
use crate::cli::trust::peer;
use crate::cli::{Failure, output, pasted_link};
use crate::net::os::clock;
use crate::net::os::random;
use crate::proto::id::{Principal, PrincipalId, Role};
use crate::proto::invitation::{FRAGMENT, Invitation};
use crate::proto::invitations::{INVITATION_TIME, Issued};
use crate::proto::join::JoinLink;

pub(super) fn run(store: &Store, id: Option<PrincipalId>) -> Result<(), Failure> {
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
    let id = invited(&link, id).map_err(Failure::Usage)?;
    let (secret, until) = (random::secret::<32>(), clock::now_utc().after(INVITATION_TIME));
    let invitation = Invitation { keys, secret: secret.clone() };
    let (role, day) = (link.role, &until.rfc3339()[..10]);
    let issued = Issued { secret, until, role, id: id.clone(), used: None };
    store.change_invitations(|all| all.add(issued))?.map_err(anyhow::Error::from)?;
    output::print(&format!("{}{FRAGMENT}{}", link.reveal(), invitation.reveal()));
    let (who, sign) = match id {
        Some(id) => (format!("{role} {id}"), format!("devstream fleet sign {id} --role {role}")),
        None => ("one machine".to_owned(), "devstream fleet sign".to_owned()),
    };
    // Streams from here go to devices.
    let when = if role == Role::Device { "at the first stream from here to it, or by" } else { "by" };
    output::eprint(&format!(
        "this link is a secret, for {who}: run `devstream join` there, without an argument, while the hub's link works, and paste it \
         when asked. The machine trusts the fleet then; its key is signed, if that is before {day}, {when}: {sign}"
    ));
    Ok(())
}

/// Returns the id that the link is for, as sessions look it up; none if it is an enrolment key, and nobody names one.
fn invited(link: &JoinLink, given: Option<PrincipalId>) -> anyhow::Result<Option<PrincipalId>> {
    let named = |id: PrincipalId| {
        let Principal { id, .. } = peer(link.role, id);
        id
    };
    match (link.id.clone().map(named), given.map(named)) {
        (Some(id), Some(given)) if id != given => Err(anyhow!("this link is for {id}; omit {given}")),
        (Some(id), _) => Ok(Some(id)),
        (None, given) => Ok(given),
    }
}

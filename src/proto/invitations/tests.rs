use super::*;
use crate::proto::invitation::prove;
use crate::proto::key::PrivateKey;
use crate::proto::secret::KeySeed;

const END: Timestamp = Timestamp(1_800_000_000);

fn key(seed: u8) -> PublicKey {
    PrivateKey::from_seed(&KeySeed::new([seed; 32])).public()
}

fn device(id: &str) -> Principal {
    Principal { role: Role::Device, id: id.parse().unwrap() }
}

fn secret(byte: u8) -> InvitationSecret {
    Secret::new([byte; 32])
}

fn issued(byte: u8, invited: &str) -> Issued {
    Issued { secret: secret(byte), until: END, role: Role::Device, invited: invited.parse().unwrap(), used: None }
}

fn all(issued: impl IntoIterator<Item = Issued>) -> Invitations {
    let mut all = Invitations::default();
    issued.into_iter().for_each(|issued| all.add(issued).unwrap());
    all
}

/// Has a machine redeem a secret for a key, where `signed` was signed for it before.
fn redeem(
    all: &mut Invitations,
    byte: u8,
    owner: &Principal,
    seed: u8,
    signed: Option<u8>,
    occasion: Occasion,
) -> Result<Redeemed, ProofError> {
    let (key, signed) = (key(seed), signed.map(key));
    let proof = prove(&secret(byte), owner, &key);
    all.redeem(&Claim { owner, key: &key, proof: &proof, signed: signed.as_ref() }, occasion)
}

const TO_SIGN: Result<Redeemed, ProofError> = Ok(Redeemed::ToSign);

#[test]
fn what_is_written_is_read_again_and_a_damaged_line_is_named() {
    let mut invitations = all([issued(1, "pi-42"), issued(2, "*"), issued(3, "pi-?*")]);
    let (pi_42, pi_43) = (device("pi-42"), device("pi-43"));
    redeem(&mut invitations, 1, &pi_42, 1, None, Occasion::All).unwrap();
    redeem(&mut invitations, 2, &pi_43, 2, None, Occasion::All).unwrap();
    invitations.note_stored(&pi_43, &key(2));
    let text = invitations.reveal();
    assert!(
        text.contains(" used pi-42 ") && text.contains(" stored pi-43 ") && text.ends_with("pi-?* open\n"),
        "{text}"
    );
    assert_eq!(Invitations::parse(&text).unwrap().reveal(), text);
    let first = text.lines().next().unwrap();
    for length in 0..first.len() {
        let damaged = text.replacen(first, &first[..length], 1);
        assert_eq!(Invitations::parse(&damaged).unwrap_err(), InvalidLine(1), "{length}");
    }
    assert!(!format!("{invitations:?}").contains(&secret(1).reveal()));
}

#[test]
fn a_secret_is_for_the_first_identity_and_key_that_prove_it() {
    let (pi_42, pi_43) = (device("pi-42"), device("pi-43"));
    let mut invitations = all([issued(1, "pi-42"), issued(2, "pi-43"), issued(3, "*")]);
    let mut redeem = |byte, owner: &Principal, seed| redeem(&mut invitations, byte, owner, seed, None, Occasion::All);
    assert_eq!(redeem(9, &pi_42, 1), Err(ProofError::Unknown), "another secret");
    let for_pi_43 = ProofError::ForAnother("pi-43".parse().unwrap());
    assert_eq!(redeem(2, &pi_42, 1), Err(for_pi_43));
    for _ in 0..2 {
        assert_eq!(redeem(1, &pi_42, 1), TO_SIGN, "as often as it asks");
    }
    let used = ProofError::UsedByAnother { id: "pi-42".parse().unwrap(), key: key(1) };
    assert_eq!(redeem(1, &pi_42, 2), Err(used));
    assert_eq!(redeem(3, &device("pi-44"), 4), TO_SIGN);
    let used = ProofError::UsedByAnother { id: "pi-44".parse().unwrap(), key: key(4) };
    assert_eq!(redeem(3, &pi_43, 4), Err(used));
    let service = Principal { role: Role::Service, ..pi_43 };
    assert_eq!(redeem(2, &service, 3), Err(ProofError::Unknown));
    let proof = prove(&secret(2), &device("pi-43"), &key(1));
    let claim = Claim { owner: &device("pi-43"), key: &key(2), proof: &proof, signed: None };
    assert_eq!(invitations.redeem(&claim, Occasion::All), Err(ProofError::Unknown), "another key");
}

#[test]
fn what_settles_the_key_of_an_id_ends_every_other_invitation_for_it() {
    let (pi_42, pi_43) = (device("pi-42"), device("pi-43"));
    let unknown = Err(ProofError::Unknown);
    // A later invitation for the same machine.
    let mut invitations = all([issued(1, "pi-42"), issued(2, "pi-43"), issued(3, "pi-42")]);
    assert_eq!(redeem(&mut invitations, 1, &pi_42, 9, None, Occasion::Named), unknown);
    assert_eq!(redeem(&mut invitations, 3, &pi_42, 3, None, Occasion::Stream), TO_SIGN);
    assert_eq!(redeem(&mut invitations, 2, &pi_43, 2, None, Occasion::Stream), TO_SIGN, "another machine's");
    // One that was used, by a later key of the same machine.
    invitations.add(issued(4, "pi-42")).unwrap();
    assert_eq!(redeem(&mut invitations, 4, &pi_42, 4, Some(3), Occasion::All), TO_SIGN);
    assert_eq!(redeem(&mut invitations, 3, &pi_42, 3, Some(4), Occasion::Named), unknown);
    // One that is used while another is open: of two files, as an earlier version wrote them.
    let text = all([issued(5, "pi-44")]).reveal() + &all([issued(6, "pi-44")]).reveal();
    let mut invitations = Invitations::parse(&text).unwrap();
    assert_eq!(redeem(&mut invitations, 6, &device("pi-44"), 6, None, Occasion::All), TO_SIGN);
    assert_eq!(redeem(&mut invitations, 5, &device("pi-44"), 5, None, Occasion::Named), unknown);
    // A signature by hand.
    let mut invitations = all([issued(7, "pi-42"), issued(8, "pi-43")]);
    assert!(invitations.settle(&pi_42, &key(1)) && !invitations.settle(&pi_42, &key(1)));
    assert_eq!(redeem(&mut invitations, 7, &pi_42, 7, Some(1), Occasion::Named), unknown);
    assert_eq!(invitations.awaited(), [pi_43]);
}

#[test]
fn a_stream_replaces_no_key_that_was_signed() {
    let pi_42 = device("pi-42");
    let mut invitations = all([issued(1, "pi-42")]);
    let another = ProofError::AnotherSigned { signed: key(1), owner: pi_42.clone() };
    assert!(another.to_string().ends_with("devstream fleet sign pi-42 --role device"), "{another}");
    assert_eq!(redeem(&mut invitations, 1, &pi_42, 2, Some(1), Occasion::Stream), Err(another));
    assert_eq!(redeem(&mut invitations, 1, &pi_42, 2, Some(1), Occasion::All), TO_SIGN, "and was not used before");
    assert_eq!(redeem(&mut invitations, 1, &pi_42, 2, Some(2), Occasion::Stream), TO_SIGN, "the same key");
}

#[test]
fn an_invitation_without_an_id_is_for_ids_that_match_and_replaces_no_key() {
    let pi_42 = device("pi-42");
    let mut invitations = all([issued(1, "pi-*")]);
    let pattern: Invited = "pi-*".parse().unwrap();
    for_each_occasion(|occasion| {
        let redeemed = redeem(&mut invitations, 1, &device("db"), 1, None, occasion);
        assert_eq!(redeemed, Err(ProofError::ForAnother(pattern.clone())), "{occasion:?}");
        let redeemed = redeem(&mut invitations, 1, &pi_42, 2, Some(1), occasion);
        let replaces_none = ProofError::ReplacesNone { signed: key(1), invited: pattern.clone() };
        assert_eq!(redeemed, Err(replaces_none), "{occasion:?}");
    });
    let names_none = ProofError::NamesNone { invited: pattern, owner: pi_42.clone() };
    assert_eq!(redeem(&mut invitations, 1, &pi_42, 1, None, Occasion::Stream), Err(names_none));
    assert_eq!(redeem(&mut invitations, 1, &pi_42, 1, None, Occasion::All), TO_SIGN);
    assert_eq!(redeem(&mut invitations, 1, &pi_42, 1, Some(1), Occasion::Stream), TO_SIGN, "it has been decided");
}

fn for_each_occasion(assert: impl FnMut(Occasion)) {
    [Occasion::Stream, Occasion::All, Occasion::Named].into_iter().for_each(assert);
}

#[test]
fn a_certificate_that_the_hub_has_is_told_from_one_to_sign() {
    let pi_42 = device("pi-42");
    let mut invitations = all([issued(1, "pi-42")]);
    assert_eq!(redeem(&mut invitations, 1, &pi_42, 1, None, Occasion::All), TO_SIGN);
    invitations.note_stored(&pi_42, &key(1));
    // Its successor is awaited; what the hub shows is the old key.
    invitations.add(issued(2, "pi-42")).unwrap();
    assert_eq!((invitations.awaited(), invitations.is_open_for(&pi_42)), (vec![pi_42.clone()], true));
    for_each_occasion(|occasion| {
        let redeemed = redeem(&mut invitations, 1, &pi_42, 1, Some(1), occasion);
        assert_eq!(redeemed, Ok(Redeemed::AlreadyStored), "{occasion:?}");
    });
}

#[test]
fn those_are_awaited_whose_certificate_the_hub_does_not_have() {
    let pi_42 = device("pi-42");
    let mut invitations = all([issued(1, "pi-4?"), issued(2, "pi-43")]);
    assert_eq!((invitations.awaited(), invitations.open()), (vec![device("pi-43")], 2));
    assert!(invitations.has_unnamed(Role::Device) && !invitations.has_unnamed(Role::Service));
    assert!(invitations.has_unnamed_for(&pi_42) && !invitations.has_unnamed_for(&device("pi-50")));
    redeem(&mut invitations, 1, &pi_42, 1, None, Occasion::All).unwrap();
    assert_eq!(invitations.awaited(), [pi_42.clone(), device("pi-43")]);
    assert!(!invitations.has_unnamed(Role::Device));
    invitations.note_stored(&pi_42, &key(1));
    assert_eq!((invitations.awaited(), invitations.open()), (vec![device("pi-43")], 1));
}

#[test]
fn a_machine_that_is_forgotten_has_no_invitation_left() {
    let pi_42 = device("pi-42");
    let mut invitations = all([issued(1, "pi-42"), issued(2, "pi-43")]);
    redeem(&mut invitations, 1, &pi_42, 1, None, Occasion::All).unwrap();
    invitations.add(issued(3, "pi-42")).unwrap();
    assert!(invitations.forget(&pi_42) && !invitations.forget(&pi_42));
    for (byte, seed) in [(1, 1), (3, 3)] {
        assert_eq!(redeem(&mut invitations, byte, &pi_42, seed, None, Occasion::Named), Err(ProofError::Unknown));
    }
    assert_eq!(invitations.awaited(), [device("pi-43")]);
}

#[test]
fn an_invitation_without_an_id_is_not_for_a_machine_that_was_forgotten() {
    let (pi_42, pi_43) = (device("pi-42"), device("pi-43"));
    let mut invitations = all([issued(1, "pi-*"), issued(2, "db")]);
    invitations.forget(&pi_42);
    let mut invitations = Invitations::parse(&invitations.reveal()).unwrap();
    invitations.end(END.before(DAY));
    let pattern: Invited = "pi-*".parse().unwrap();
    for_each_occasion(|occasion| {
        let forgotten = ProofError::Forgotten { invited: pattern.clone() };
        assert_eq!(redeem(&mut invitations, 1, &pi_42, 1, None, occasion), Err(forgotten), "{occasion:?}");
    });
    assert!(!invitations.has_unnamed_for(&pi_42) && invitations.has_unnamed_for(&pi_43));
    // Its owner names it again.
    invitations.add(issued(3, "pi-42")).unwrap();
    assert_eq!(redeem(&mut invitations, 3, &pi_42, 3, None, Occasion::All), TO_SIGN);
    assert_eq!(redeem(&mut invitations, 1, &pi_43, 4, None, Occasion::All), TO_SIGN, "another machine");
    // Without an invitation that could bring them back, nobody is remembered.
    invitations.forget(&pi_42);
    assert!(!invitations.reveal().contains(FORGOTTEN), "{}", invitations.reveal());
}

#[test]
fn with_too_many_forgotten_machines_no_invitation_is_left_that_could_bring_one_back() {
    let mut invitations = all([issued(1, "pi-*"), issued(2, "db-*")]);
    for number in 0..=MAX_FORGOTTEN {
        assert!(!invitations.forget(&device(&format!("pi-{number}"))), "none was for it alone");
    }
    let redeemed = redeem(&mut invitations, 1, &device(&format!("pi-{MAX_FORGOTTEN}")), 1, None, Occasion::All);
    assert_eq!(redeemed, Err(ProofError::Unknown));
    assert!(invitations.has_unnamed_for(&device("db-1")));
    assert!(Invitations::parse(&invitations.reveal()).is_ok());
}

#[test]
fn what_ends_an_invitation_ends_it_also_while_the_clock_is_ahead() {
    let (db_1, ahead) = (device("db-1"), END.after(DAY.saturating_mul(10)));
    let end_by = |settle: &dyn Fn(&mut Invitations)| {
        let mut invitations = all([issued(1, "db-1")]);
        invitations.end(ahead);
        settle(&mut invitations);
        let mut corrected = Invitations::parse(&invitations.reveal()).unwrap();
        corrected.end(END.before(DAY));
        assert_eq!(redeem(&mut corrected, 1, &db_1, 1, Some(9), Occasion::All), Err(ProofError::Unknown));
    };
    end_by(&|invitations| assert!(invitations.forget(&db_1)));
    end_by(&|invitations| assert!(invitations.settle(&db_1, &key(9))));
    end_by(&|invitations| invitations.add(Issued { until: ahead.after(DAY), ..issued(2, "db-1") }).unwrap());
}

#[test]
fn a_key_is_not_signed_again_by_its_invitation_once_its_successor_is_invited() {
    let pi_42 = device("pi-42");
    let mut invitations = all([issued(1, "pi-42")]);
    assert_eq!(redeem(&mut invitations, 1, &pi_42, 1, None, Occasion::All), TO_SIGN);
    // The hub says that it did not take the certificate.
    assert_eq!(redeem(&mut invitations, 1, &pi_42, 1, Some(1), Occasion::Stream), TO_SIGN);
    invitations.add(issued(2, "pi-42")).unwrap();
    for_each_occasion(|occasion| {
        let redeemed = redeem(&mut invitations, 1, &pi_42, 1, Some(1), occasion);
        assert_eq!(redeemed, Ok(Redeemed::AlreadyStored), "{occasion:?}");
    });
    assert_eq!(redeem(&mut invitations, 2, &pi_42, 2, Some(1), Occasion::All), TO_SIGN);
}

#[test]
fn there_are_few_at_a_time_and_those_that_have_ended_or_done_their_work_make_room() {
    let id = |number: usize| format!("{}{number:03}", "x".repeat(125));
    let mut invitations = all((0..MAX_INVITATIONS).map(|number| issued(1, &id(number))));
    assert_eq!(invitations.add(issued(2, "pi-42")), Err(TooMany(END)));
    assert!(invitations.reveal().len() as u64 <= MAX_INVITATIONS_BYTES);
    assert!(Invitations::parse(&invitations.reveal()).is_ok());
    let first = device(&id(0));
    redeem(&mut invitations, 1, &first, 1, None, Occasion::All).unwrap();
    assert_eq!(invitations.add(issued(2, "pi-42")), Err(TooMany(END)), "its certificate is not at the hub");
    invitations.note_stored(&first, &key(1));
    assert_eq!(invitations.add(issued(2, "pi-42")), Ok(()));
    invitations.end(END.before(Duration::from_secs(1)));
    assert_eq!(invitations.add(issued(2, "pi-43")), Err(TooMany(END)));
    invitations.end(END);
    assert_eq!((invitations.awaited(), invitations.open()), (vec![], 0));
    assert_eq!(invitations.add(issued(2, "pi-43")), Ok(()));
    assert_eq!(invitations.reveal().lines().count(), MAX_INVITATIONS);
}

#[test]
fn a_clock_that_was_ahead_for_a_while_has_ended_no_invitation_for_good() {
    let mut invitations = all([issued(1, "pi-42")]);
    let ahead = END.after(DAY.saturating_mul(40));
    invitations.end(ahead);
    assert_eq!(redeem(&mut invitations, 1, &device("pi-42"), 1, None, Occasion::Named), Err(ProofError::Unknown));
    invitations.add(Issued { until: ahead.after(INVITATION_TIME), ..issued(2, "pi-43") }).unwrap();
    let mut corrected = Invitations::parse(&invitations.reveal()).unwrap();
    corrected.end(END.before(DAY));
    assert_eq!(redeem(&mut corrected, 1, &device("pi-42"), 1, None, Occasion::Named), TO_SIGN);
    invitations.end(END.after(KEPT_AFTER_END));
    assert_eq!(invitations.reveal().lines().count(), 1);
}

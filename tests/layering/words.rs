//! Names that an engineer would have to look up do not come back: the field has its own.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use super::{code_of, collect};

/// Refused as whole words, in code, comments and texts alike. Each has a standard term: a `Stranger` is an unauthenticated
/// connection, a `Moment` a timestamp, an `Offence` the reason of a penalty.
const REFUSED: &str = "
    Aside AtItsLast Bulletin Chooser DeviceAsk DeviceAsked EndedHere EndedWell Farewell Felt FindWay GOODBYE Happening
    LAST_WORDS Lifeline Loitering NOBODYS_KEY Offence OpeningBroke Particulars Proven Pulse STRANGER_TIMEOUT
    SideArrival Sparingly Stranger Strangers StreamOver Unproven VISIT VISITORS Vigil WayBack accompanying
    come_back_after confess devstream_strangers forsaken gives_up good_arrived good_left heed held_against in_doubt
    is_anothers_place is_reasonable lifeless max_strangers open_saying outstays own_user room_for_strangers
    say_goodbye sightings stranger stranger_timeout strangers suit_tunnel take_sooner to_strangers turned_away
    waiting_for_devices way_back wind_up
";

/// Refused as names in code; in a sentence, or as a part of a longer name, each may be the right word. `de::Visitor` is
/// serde's.
const REFUSED_IN_CODE: &str = "
    Ahead Allowance Answer Arrival Arrived Arriving Ask Asked Beat Begun Caps Carried Consent Crowd Departure
    Desk Due Greeting Heard Held Joint Kept Known Left Life Listing Look Looks Loop Meant Meeting Mistake Moment No
    Nonsense Odd Offers Over Parted Parting Pass Patience Piece Places Purpose Said Seat Seen Serves Shown Sight Slept
    Slowed Speech Standing Supply Swarm Telling Terms Trail Turned Typed Visitor Wanted Watcher Way What Which Why
    Written WrongProof admits complain hang_up harmless keep_time nudge offended telling to_door turn_away unproven
";

/// Where people and programs read words.
const PLACES: [&str; 12] = [
    "src",
    "tests",
    "fuzz/src",
    "fuzz/fuzz_targets",
    "benches",
    "examples",
    "man",
    "completions",
    "deb",
    "docs",
    "README.md",
    "CONTRIBUTING.md",
];

#[test]
fn no_name_that_has_a_standard_term_comes_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for place in PLACES {
        let path = root.join(place);
        assert!(path.exists(), "{place} is gone");
        if path.is_dir() { collect(&path, &mut files) } else { files.push(path) }
    }
    let own = root.join("tests/layering/words.rs");
    let found: Vec<_> = files.iter().filter(|file| **file != own).flat_map(|file| refused_in(root, file)).collect();
    assert!(found.is_empty(), "names with a standard term:\n{}", found.join("\n"));
}

#[test]
fn whole_words_are_refused_and_parts_of_others_are_not() {
    for text in ["let x: Vec<Stranger> = y;", "// a stranger's", "self.strangers.count()", "\"in_doubt\""] {
        assert_eq!(words_in(text, REFUSED), 1, "{text}");
    }
    for text in ["Offences", "estranger", "own_users", "the odd one", "STRANGE"] {
        assert_eq!(words_in(text, REFUSED), 0, "{text}");
    }
    for (text, count) in [("struct Asked;", 1), ("// Asked again, it answers the same.", 0)] {
        assert_eq!(words_in(&code_of(text), REFUSED_IN_CODE), count, "{text}");
    }
}

fn refused_in(root: &Path, file: &Path) -> Vec<String> {
    let Ok(text) = fs::read_to_string(file) else { return Vec::new() };
    let path = file.strip_prefix(root).unwrap_or(file).display().to_string();
    let code = if path.ends_with(".rs") { code_of(&text).replace("de::Visitor", "") } else { String::new() };
    let found = found_in(&text, REFUSED).chain(found_in(&code, REFUSED_IN_CODE));
    found.map(|(line, word)| format!("{path}:{line}: {word}")).collect()
}

/// The refused words of a text, with the numbers of their lines.
fn found_in<'a>(text: &'a str, refused: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let refused: HashSet<&str> = refused.split_whitespace().collect();
    let words = text.lines().enumerate().flat_map(|(index, line)| {
        let words = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        words.map(move |word| (index + 1, word))
    });
    words.filter(move |(_, word)| refused.contains(word))
}

fn words_in(text: &str, refused: &str) -> usize {
    found_in(text, refused).count()
}

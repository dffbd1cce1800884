//! Two machines with one join code at two hubs, while NATS servers die.

use std::time::Duration;

use devstream::net::os::clock;
use devstream::proto::join::JoinLink;
use tokio::runtime::Runtime;

use super::super::report;
use super::super::support::cluster::Cluster;
use super::super::support::fleet::{ONE_ADDRESS, try_join};
use super::super::support::nats::Nats;
use super::super::support::roles::Hub;
use super::Outcome;

const SERVERS: usize = 3;

/// In each of so many races one of the NATS servers is killed just before, and in each of so many all of them.
const KILL_EVERY: usize = 20;
const KILL_ALL_EVERY: usize = 100;

/// Time for all races; fewer are run if it is over.
const TIME: Duration = Duration::from_secs(600);

/// How a race ended.
#[derive(Default)]
struct Tally {
    won: usize,
    refused: usize,
    wrong: usize,
}

/// So many races, or as many as the time allows.
pub(super) fn races(count: usize) -> Outcome {
    let mut cluster = Cluster::over(Nats::start(SERVERS), 3, &ONE_ADDRESS);
    let (runtime, mut tally, start) = (Runtime::new().expect("a runtime"), Tally::default(), clock::now());
    let mut run = 0;
    while run < count && start.elapsed() < TIME {
        let links = links(&cluster.hubs, &format!("race-{run}"), 2 + run % 2);
        let (one, all) = (run % KILL_EVERY == KILL_EVERY - 1, run % KILL_ALL_EVERY == KILL_ALL_EVERY / 2);
        if one {
            cluster.nats.kill(run / KILL_EVERY % SERVERS);
        }
        if all {
            cluster.nats.kill_all();
        }
        let first = race(&runtime, &links, run);
        if all {
            cluster.nats.restart_all();
        } else if one {
            cluster.nats.restart(run / KILL_EVERY % SERVERS);
        }
        settle(&runtime, &links, run, first, &mut tally);
        run += 1;
    }
    let Tally { won, refused, wrong } = tally;
    let took = start.elapsed();
    let words = format!(
        "{run} of {count} races in {took:.0?}: {won} had one winner at once, {refused} only later, {wrong} were wrong"
    );
    (words, wrong == 0)
}

/// A code that one hub made, at each of the hubs.
fn links(hubs: &[Hub], id: &str, racers: usize) -> Vec<JoinLink> {
    let link = hubs[0].device_link(id);
    let at = |hub: &Hub| link.replace(&hubs[0].address(), &hub.address()).parse().expect("a link");
    hubs.iter().take(racers).map(at).collect()
}

/// All at once; what each was told.
fn race(runtime: &Runtime, links: &[JoinLink], run: usize) -> Vec<Result<(), String>> {
    let racer = |link: JoinLink| async move {
        try_join(&link, format!("race-{run}").parse().expect("an id")).await.map(|_| ())
    };
    let racers: Vec<_> = links.iter().cloned().map(|link| runtime.spawn(racer(link))).collect();
    racers.into_iter().map(|racer| runtime.block_on(racer).expect("no panic")).collect()
}

/// One has won; or all were refused because nothing could be changed, and then one wins later.
fn settle(runtime: &Runtime, links: &[JoinLink], run: usize, mut told: Vec<Result<(), String>>, tally: &mut Tally) {
    let start = clock::now();
    let mut at_once = true;
    loop {
        match told.iter().filter(|told| told.is_ok()).count() {
            1 if at_once => return tally.won += 1,
            1 => return tally.refused += 1,
            0 if start.elapsed() < Duration::from_secs(60) && is_refused(&told) => {}
            _ => {
                report(format!("hubs: races: race {run}: {told:?}"));
                return tally.wrong += 1;
            }
        }
        at_once = false;
        told = race(runtime, links, run);
    }
}

/// Nobody was told that the code is used: changes are refused.
fn is_refused(told: &[Result<(), String>]) -> bool {
    told.iter().filter_map(|told| told.as_ref().err()).any(|error| error.contains("status: 503"))
}

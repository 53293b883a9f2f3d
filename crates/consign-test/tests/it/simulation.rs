//! The workers' own code against a simulated ledger, thousands of schedules.

use consign_test::history::What;
use consign_test::simulation::{Mutant, Outcome, run, run_away_for_an_hour};
use std::collections::BTreeMap;
use std::thread;
use std::time::Instant;

/// Schedules of a run, unless `SIMULATIONS` says another number.
const SCHEDULES: u64 = 5_000;
/// Hours in which what handlers need is away.
const HOURS: u64 = 6;
/// A planted bug is found within so many.
const CAUGHT_WITHIN: u64 = 400;
/// What is rare, and must have been met, or the run proves nothing.
const GATES: [&str; 16] = [
    "a dead letter",
    "a message killed its process",
    "a parked key went on",
    "an outage of the database",
    "delivered again",
    "died",
    "died after a commit",
    "fenced",
    "handed over",
    "misjudged",
    "stood still",
    "suspects",
    "taken back to a savepoint",
    "unknown, and does not",
    "unknown, and stands",
    "what handlers need is away",
];

/// What some schedules have come to.
#[derive(Default)]
struct Found {
    schedules: u64,
    wrong: Vec<String>,
    met: BTreeMap<&'static str, u64>,
}

impl Found {
    fn add(&mut self, seed: u64, outcome: &Outcome) {
        self.schedules += 1;
        for (what, times) in &outcome.met {
            *self.met.entry(what).or_default() += times;
        }
        if let Some(why) = outcome.wrong() {
            let again = "SIMULATIONS=1 cargo test -p consign-test --test it simulation::whatever";
            self.wrong.push(format!("SEED={seed} {again}\n{}\n{why}", outcome.drawn));
        }
    }

    fn merge(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.wrong.extend(other.wrong);
        for (what, times) in other.met {
            *self.met.entry(what).or_default() += times;
        }
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(otherwise, |given| given.parse().expect("a number"))
}

#[test]
fn whatever_goes_wrong_nothing_is_lost_doubled_or_out_of_order() {
    let (from, count) = (number("SEED", 0), number("SIMULATIONS", SCHEDULES));
    let begun = Instant::now();
    let all = thread::scope(|scope| {
        let half = |first: u64| {
            let mut found = Found::default();
            (from + first..from + count)
                .step_by(2)
                .for_each(|seed| found.add(seed, &run(seed, None)));
            found
        };
        let other = scope.spawn(move || half(1));
        let mut all = half(0);
        all.merge(other.join().expect("schedules do not panic"));
        all
    });
    let Found { schedules, wrong, met } = all;
    println!(
        "{schedules} schedules of the workers, simulated ledger, {:?}: {met:?}",
        begun.elapsed()
    );
    assert!(wrong.is_empty(), "{} went wrong:\n{}", wrong.len(), wrong.join("\n"));
    if count >= SCHEDULES {
        let missing = GATES.iter().filter(|gate| !met.contains_key(**gate)).collect::<Vec<_>>();
        assert!(missing.is_empty(), "the run proves nothing, it never met {missing:?}");
    }
}

#[test]
fn a_mail_server_that_is_away_for_an_hour_burns_no_attempt() {
    for seed in 0..HOURS {
        let outcome = run_away_for_an_hour(seed);
        assert_eq!(outcome.wrong(), None, "SEED={seed} {}", outcome.drawn);
        assert!(outcome.met["what handlers need is away"] > 20, "SEED={seed}: it was there");
        // Of partitions that wait each for one message, too few keys fail to tell an outage by.
        if outcome.drawn.contains("Block") {
            continue;
        }
        assert_eq!(outcome.met["a dead letter"], 0, "SEED={seed} {}", outcome.drawn);
        let mut attempts = BTreeMap::new();
        for event in &outcome.history.events {
            if let What::Delivered(delivered) = &event.what {
                let of = (&delivered.subscription, delivered.message);
                attempts.insert(of, delivered.attempt);
            }
        }
        let burnt = attempts.iter().filter(|(_, attempt)| **attempt > 1).collect::<Vec<_>>();
        assert!(burnt.is_empty(), "SEED={seed} {}: {burnt:?}", outcome.drawn);
    }
}

#[test]
fn a_seed_has_one_history() {
    for seed in 0..50 {
        let (once, again) = (run(seed, None), run(seed, None));
        assert_eq!(once.history.events, again.history.events, "SEED={seed}");
        assert_eq!(once.fingerprint, again.fingerprint, "SEED={seed}");
    }
}

#[test]
fn every_ledger_that_does_not_keep_its_word_is_caught() {
    let caught = thread::scope(|scope| {
        let halves = [0, 1].map(|half| {
            scope.spawn(move || {
                let mutants = Mutant::ALL.into_iter().skip(half).step_by(2);
                mutants.map(|mutant| (mutant, caught_after(mutant))).collect::<Vec<_>>()
            })
        });
        halves.map(|half| half.join().expect("schedules do not panic")).concat()
    });
    for (mutant, after) in &caught {
        println!("{mutant:?}: {after:?} schedules");
    }
    let alive = caught.iter().filter(|(_, after)| after.is_none()).collect::<Vec<_>>();
    assert!(alive.is_empty(), "not caught within {CAUGHT_WITHIN} schedules: {alive:?}");
}

/// How many schedules it takes to see what a mutant does.
fn caught_after(mutant: Mutant) -> Option<u64> {
    (0..CAUGHT_WITHIN).find(|seed| run(*seed, Some(mutant)).wrong().is_some()).map(|seed| seed + 1)
}

//! Whatever is done to the effects of a correct run is noticed.

use crate::model::Run;
use consign_test::Random;
use consign_test::checker::Verdict;
use consign_test::history::{MessageNumber, What};

const ROUNDS: usize = 1_000;

/// What is done to a run; `false`: there was nothing to do it to.
type Mutation = fn(&mut Run, &mut Random) -> bool;

const MUTATIONS: [(&str, Mutation); 5] = [
    ("drops an effect", drops),
    ("doubles an effect", doubles),
    ("swaps two effects of one key", swaps),
    ("invents an effect of nothing", invents),
    ("invents an effect of a message that has none", revives),
];

#[test]
fn any_one_mutation_of_the_effects_is_caught() {
    let mut random = Random::new("mutations");
    let mut done = [0; MUTATIONS.len()];
    for round in 0..ROUNDS {
        let which = round % MUTATIONS.len();
        let (name, mutate) = MUTATIONS[which];
        let mut run = Run::of(random.part(), 40);
        // What is told beside the effects would give most of them away.
        for ledger in &mut run.scan.ledgers {
            ledger.counts = None;
            ledger.counters.clear();
        }
        run.judged().expect_valid();
        if mutate(&mut run, &mut random) {
            done[which] += 1;
            assert!(matches!(run.judged(), Verdict::Invalid(_)), "round {round} {name}, unseen");
        }
    }
    let enough = ROUNDS / MUTATIONS.len() / 2;
    assert!(done.iter().all(|done| *done > enough), "{done:?} of {ROUNDS}: no proof");
}

fn drops(run: &mut Run, random: &mut Random) -> bool {
    run.scan.witnesses.remove(random.below(run.scan.witnesses.len()));
    true
}

fn doubles(run: &mut Run, random: &mut Random) -> bool {
    let mut again = run.scan.witnesses[random.below(run.scan.witnesses.len())].clone();
    again.n = last_n(run) + 1;
    run.scan.witnesses.push(again);
    true
}

fn swaps(run: &mut Run, random: &mut Random) -> bool {
    let witnesses = &mut run.scan.witnesses;
    let one = random.below(witnesses.len());
    let is_other = |index: &usize| {
        let (one, other) = (&witnesses[one], &witnesses[*index]);
        one.n != other.n && one.key == other.key && one.subscription == other.subscription
    };
    let others: Vec<_> = (0..witnesses.len()).filter(is_other).collect();
    if others.is_empty() {
        return false;
    }
    let other = others[random.below(others.len())];
    let n = witnesses[one].n;
    witnesses[one].n = witnesses[other].n;
    witnesses[other].n = n;
    true
}

fn invents(run: &mut Run, random: &mut Random) -> bool {
    let mut invented = run.scan.witnesses[random.below(run.scan.witnesses.len())].clone();
    invented.message = MessageNumber(1_000_000);
    invented.n = last_n(run) + 1;
    run.scan.witnesses.push(invented);
    true
}

/// Refused, never answered and not in the log, dead, or discarded.
fn revives(run: &mut Run, random: &mut Random) -> bool {
    let mut revived = run.scan.witnesses[random.below(run.scan.witnesses.len())].clone();
    let has_effect = |message| {
        let of = &revived.subscription;
        run.scan.witnesses.iter().any(|one| one.message == message && one.subscription == *of)
    };
    let published = run.history.events.iter().filter_map(|event| match &event.what {
        What::Publishing(what) => Some(what),
        _ => None,
    });
    let without: Vec<_> = published.filter(|what| !has_effect(what.message)).collect();
    if without.is_empty() {
        return false;
    }
    let chosen = without[random.below(without.len())];
    (revived.message, revived.key) = (chosen.message, chosen.key.clone());
    revived.n = last_n(run) + 1;
    run.scan.witnesses.push(revived);
    true
}

fn last_n(run: &Run) -> u64 {
    run.scan.witnesses.iter().map(|one| one.n).max().expect("some")
}

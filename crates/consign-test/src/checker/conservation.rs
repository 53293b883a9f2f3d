//! What a subscription says of itself is what there is: accepted = applied + dead + waiting +
//! discarded, and each of these can be counted.

use super::Rule;
use super::facts::Facts;
use super::findings::{Finding, Findings};
use super::reading::Reading;

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    for reading in &facts.readings {
        let Some(counts) = reading.ledger.counts else { continue };
        let ledger = reading.ledger;
        let there = [
            ("accepted", counts.accepted, facts.to_apply(reading).count()),
            ("applied", counts.applied, applied(facts, reading)),
            ("dead", counts.dead, ledger.dead.len()),
            ("waiting", counts.waiting, ledger.waiting.len()),
            ("discarded", counts.discarded, ledger.discarded.len()),
        ];
        for (what, said, there) in there {
            if u64::try_from(there) != Ok(said) {
                let says = format!("it says {said} {what}, and there are {there}");
                findings.add(Finding::new(Rule::Conservation, says).of(reading));
            }
        }
    }
}

/// Effects of what was accepted; others are ghosts, and nobody says that there are any.
fn applied(facts: &Facts<'_>, reading: &Reading<'_>) -> usize {
    reading.times.keys().filter(|message| facts.is_accepted(**message)).count()
}

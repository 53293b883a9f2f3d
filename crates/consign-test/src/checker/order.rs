//! Effects of one key happen in the order of its messages, and pass none that waits.
//!
//! A redriven message comes late on purpose. The second effect of one message is no inversion.

use std::collections::HashMap;

use super::facts::Facts;
use super::findings::{Finding, Findings};
use super::reading::Reading;
use super::{Order, Rule};
use crate::history::MessageNumber;

/// A message and its offset; a key lies in one partition.
type Ranked = (u64, MessageNumber);

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    for reading in facts.readings.iter().filter(|one| one.reader.order != Order::Free) {
        let last_applied = inversions(facts, reading, findings);
        gaps(facts, reading, &last_applied, findings);
    }
}

/// Answers the last applied message of each key.
fn inversions<'a>(
    facts: &Facts<'a>,
    reading: &Reading<'a>,
    findings: &mut Findings,
) -> HashMap<&'a str, Ranked> {
    let mut last_applied = HashMap::new();
    for message in reading.first_effects().map(|effect| effect.message) {
        let Some((key, rank)) = ranked(facts, reading, message) else { continue };
        let last = last_applied.entry(key).or_insert((rank, message));
        if rank < last.0 {
            let says = format!("{message} was applied after {}, which came after it", last.1);
            findings.add(Finding::new(Rule::Inversion, says).of(reading).message(message));
        } else {
            *last = (rank, message);
        }
    }
    last_applied
}

fn gaps(
    facts: &Facts<'_>,
    reading: &Reading<'_>,
    last_applied: &HashMap<&str, Ranked>,
    findings: &mut Findings,
) {
    let dead = reading.ledger.dead.iter();
    let dead = dead.filter(|_| reading.reader.order == Order::Strict);
    for message in reading.ledger.waiting.iter().chain(dead).copied() {
        let Some((key, rank)) = ranked(facts, reading, message) else { continue };
        if let Some((_, passed_by)) = last_applied.get(key).filter(|(last, _)| rank < *last) {
            let says = format!("{message} was passed by {passed_by}, which came after it");
            findings.add(Finding::new(Rule::Gap, says).of(reading).message(message));
        }
    }
}

fn ranked<'a>(
    facts: &Facts<'a>,
    reading: &Reading<'_>,
    message: MessageNumber,
) -> Option<(&'a str, u64)> {
    let is_ranked = !reading.redriven.contains(&message);
    let (key, place) = (facts.key(message)?, facts.place(message)?);
    is_ranked.then_some((key, place.offset))
}

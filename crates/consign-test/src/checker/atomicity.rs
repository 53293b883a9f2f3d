//! Effect and ledger commit together: there is an effect if and only if the ledger says so.
//!
//! That the ledger says so and there is none is [`Rule::Lost`].

use std::collections::BTreeMap;

use super::facts::{Answer, Facts};
use super::findings::{Finding, Findings};
use super::reading::{Reading, Standing};
use super::{Reads, Rule};
use crate::history::{MessageNumber, Place};

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    for reading in &facts.readings {
        if reading.is_once() {
            effects(facts, reading, findings);
        }
        rows(facts, reading, findings);
        marks(reading, findings);
        counters(reading, findings);
    }
}

fn effects(facts: &Facts<'_>, reading: &Reading<'_>, findings: &mut Findings) {
    for message in reading.times.keys().copied() {
        if let Some(why) = unrecorded(facts, reading, message) {
            let says = format!("{message} has its effect, and {why}");
            findings.add(Finding::new(Rule::Atomicity, says).of(reading).message(message));
        }
    }
}

fn unrecorded(facts: &Facts<'_>, reading: &Reading<'_>, message: MessageNumber) -> Option<String> {
    let publish = facts.publishes.get(&message)?;
    if publish.answer == Answer::Refused {
        return None;
    }
    if !reading.reads(publish.what) {
        return Some("it is none that the subscription reads".to_owned());
    }
    if reading.waiting.contains(&message) {
        return Some("still waits".to_owned());
    }
    match facts.place(message) {
        Some(place) => unfinished(reading, place),
        None if facts.is_whole(&publish.what.topic) => Some("is not in the log".to_owned()),
        None => None,
    }
}

fn unfinished(reading: &Reading<'_>, place: &Place) -> Option<String> {
    match reading.standing(place) {
        Standing::Finished => None,
        Standing::Unread => Some(format!("the ledger does not say so of {place}")),
        Standing::Before => Some(format!("{place} is before the subscription's start")),
    }
}

/// A row that stands in for an effect has a done mark, or lies below the cursor.
fn rows(facts: &Facts<'_>, reading: &Reading<'_>, findings: &mut Findings) {
    let ledger = reading.ledger;
    let aside = ledger.waiting.iter().chain(&ledger.dead).chain(&ledger.discarded);
    for message in aside.copied().filter(|message| facts.is_unread(reading, *message)) {
        let says = format!("{message} is set aside, and the ledger would deliver it again");
        findings.add(Finding::new(Rule::Atomicity, says).of(reading).message(message));
    }
}

fn marks(reading: &Reading<'_>, findings: &mut Findings) {
    let cursors = reading.ledger.cursors.iter().map(|row| (row.partition, row.next));
    let cursors: BTreeMap<_, _> = cursors.collect();
    for (partition, offset) in &reading.ledger.marks {
        let is_stream = reading.reader.reads == Reads::Stream;
        let is_below = cursors.get(partition).is_some_and(|next| offset < next);
        if is_stream || is_below {
            let place = format!("{}/{partition}@{offset}", reading.reader.topic);
            let says = format!("a done mark is left at {place}, below a cursor or of a stream");
            findings.add(Finding::new(Rule::Atomicity, says).of(reading));
        }
    }
}

/// `n = n + 1` per key, beside a row for each: both or neither.
fn counters(reading: &Reading<'_>, findings: &mut Findings) {
    if reading.ledger.counters.is_empty() {
        return;
    }
    let mut pairs = BTreeMap::<&str, (u64, u64)>::new();
    for effect in &reading.effects {
        let key = effect.key.as_deref().unwrap_or_default();
        pairs.entry(key).or_default().0 += 1;
    }
    for (key, counted) in &reading.ledger.counters {
        pairs.entry(key).or_default().1 = *counted;
    }
    for (key, (rows, counted)) in pairs.into_iter().filter(|(_, (rows, n))| rows != n) {
        let says = format!("the counter says {counted}, and there are {rows} effects");
        findings.add(Finding::new(Rule::Atomicity, says).of(reading).key(key));
    }
}

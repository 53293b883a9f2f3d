//! The log holds what was accepted, where it was said to be, once, unchanged and in order.

use std::collections::HashMap;

use super::facts::{Answer, Facts};
use super::findings::{Finding, Findings};
use super::{Logged, Offsets, Rule};
use crate::history::{MessageNumber, Place, What};

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let mut lies_at = HashMap::new();
    for row in &facts.scan.log {
        lies_at.entry(&row.place).or_insert(row.message);
    }
    offsets(facts, findings);
    rows(facts, findings);
    publish_order(facts, findings);
    receipts(facts, &lies_at, findings);
    deliveries(facts, &lies_at, findings);
}

/// In the order in which they were read, offsets grow, and none is missing where they are dense.
fn offsets(facts: &Facts<'_>, findings: &mut Findings) {
    let mut last = HashMap::new();
    for Logged { place, message, .. } in &facts.scan.log {
        let Some(before) = last.insert((&place.topic, place.partition), place.offset) else {
            continue;
        };
        let is_next = match facts.expected.offsets {
            Offsets::Dense => place.offset == before + 1,
            Offsets::Gaps => place.offset > before,
        };
        if !is_next {
            let says = format!("{place} was read after offset {before}");
            findings.add(Finding::new(Rule::Log, says).message(*message));
        }
    }
}

fn rows(facts: &Facts<'_>, findings: &mut Findings) {
    for row in &facts.scan.log {
        let (message, place) = (row.message, &row.place);
        let why = match facts.publishes.get(&message) {
            None => "nobody published it",
            Some(publish) if publish.answer == Answer::Refused => "its publish was refused",
            Some(publish) if publish.what.topic != place.topic => "it is of another topic",
            Some(publish) if publish.what.hash != row.hash => "its body is another one",
            _ if facts.place(message) != Some(place) => "it lies elsewhere, too",
            _ => continue,
        };
        let says = format!("{message} lies at {place}, and {why}");
        findings.add(Finding::new(Rule::Log, says).message(message));
    }
}

/// Of one publisher, who waits for each answer, later messages of a partition lie later.
fn publish_order(facts: &Facts<'_>, findings: &mut Findings) {
    let mut newest = HashMap::new();
    for Logged { place, message, .. } in &facts.scan.log {
        let Some(publish) = facts.publishes.get(message) else { continue };
        if !matches!(publish.answer, Answer::Accepted { .. }) {
            continue;
        }
        let (publisher, number) = (publish.what.publisher, publish.what.number);
        let newest = newest.entry((&place.topic, place.partition, publisher)).or_insert(number);
        if number < *newest {
            let says = format!("{message} lies at {place}, after one that was published later");
            findings.add(Finding::new(Rule::Log, says).message(*message));
        }
        *newest = number.max(*newest);
    }
}

type LiesAt<'a> = HashMap<&'a Place, MessageNumber>;

fn receipts(facts: &Facts<'_>, lies_at: &LiesAt<'_>, findings: &mut Findings) {
    for (message, publish) in &facts.publishes {
        let Answer::Accepted { place, .. } = publish.answer else { continue };
        let is_missing = match place {
            Some(place) => !is_as_said(facts, lies_at, place, *message),
            None => !facts.log.contains_key(message) && facts.is_whole(&publish.what.topic),
        };
        if is_missing {
            let whence = place.map_or_else(String::new, |place| format!(" at {place}"));
            let says = format!("{message} was accepted{whence}, and is not there");
            findings.add(Finding::new(Rule::Log, says).message(*message));
        }
    }
}

/// What a worker has read is what lies there.
fn deliveries(facts: &Facts<'_>, lies_at: &LiesAt<'_>, findings: &mut Findings) {
    for event in &facts.history.events {
        let What::Delivered(delivered) = &event.what else { continue };
        let (message, place) = (delivered.message, &delivered.place);
        if !is_as_said(facts, lies_at, place, message) {
            let says = format!("{message} was read at {place}, and is not there");
            findings.add(Finding::new(Rule::Log, says).message(message));
        }
    }
}

/// Below its beginning the log was truncated, and nothing can be said.
fn is_as_said(
    facts: &Facts<'_>,
    lies_at: &LiesAt<'_>,
    place: &Place,
    message: MessageNumber,
) -> bool {
    let range = facts.ranges.get(&(&*place.topic, place.partition));
    let is_truncated = range.is_some_and(|(first, _)| place.offset < *first);
    is_truncated || lies_at.get(place) == Some(&message)
}

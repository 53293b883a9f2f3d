//! Whether a run can be judged at all: what was noted must not contradict itself.

use std::collections::{HashMap, HashSet};

use super::facts::{Facts, Publish};
use super::liveness::still_to_do;
use super::{Expected, Scan};
use crate::History;
use crate::history::{Moment, Publishing, What};

type Sanity = Result<(), String>;

/// What the rules take for granted.
pub(super) fn of_input(history: &History, scan: &Scan, expected: &Expected) -> Sanity {
    clock(history, scan)?;
    publishes(history)?;
    names(history, scan, expected)?;
    witnesses(scan)?;
    if expected.drains_within.is_some() { faults(history) } else { Ok(()) }
}

/// A run that is asked to drain was given the time for it.
pub(super) fn of_end(facts: &Facts<'_>) -> Sanity {
    if !facts.publishes.keys().any(|message| facts.is_accepted(*message)) {
        return Err("nothing was accepted".to_owned());
    }
    let Some(within) = facts.expected.drains_within else { return Ok(()) };
    let accepted = facts.publishes.values().map(Publish::accepted_at);
    let quiet_since = accepted.max().unwrap_or_default().max(facts.healed_at());
    let is_early = facts.scan.at.since(quiet_since) < within;
    let has_left = |reading| still_to_do(facts, reading).next().is_some();
    if is_early && facts.readings.iter().any(has_left) {
        return Err(format!("it was read within {within:?} of the last fault or publish"));
    }
    Ok(())
}

fn clock(history: &History, scan: &Scan) -> Sanity {
    if !history.events.is_sorted_by_key(|event| event.at) {
        return Err("the clock went back".to_owned());
    }
    let last = history.events.last().map_or(Moment::default(), |event| event.at);
    if scan.at < last { Err("somebody was still at work".to_owned()) } else { Ok(()) }
}

/// A message is published once and answered once; a key has one publisher.
fn publishes(history: &History) -> Sanity {
    let (mut open, mut seen, mut publishers) = (HashSet::new(), HashSet::new(), HashMap::new());
    for event in &history.events {
        match &event.what {
            What::Publishing(Publishing { message, topic, key, publisher, .. }) => {
                open.insert(*message);
                if !seen.insert(*message) {
                    return Err(format!("{message} is published twice"));
                }
                let Some(key) = key else { continue };
                if publishers.entry((topic, key)).or_insert(*publisher) != publisher {
                    return Err(format!("key {key} of {topic} has two publishers"));
                }
            }
            What::Published { message, .. }
            | What::NotPublished { message }
            | What::PublishUnknown { message }
                if !open.remove(message) =>
            {
                return Err(format!("an answer to no publish, of {message}"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn names(history: &History, scan: &Scan, expected: &Expected) -> Sanity {
    let known: HashSet<_> = expected.subscriptions.iter().map(|reader| &*reader.name).collect();
    let ledgers: HashSet<_> = scan.ledgers.iter().map(|ledger| &*ledger.subscription).collect();
    if known != ledgers
        || known.len() != expected.subscriptions.len()
        || ledgers.len() != scan.ledgers.len()
    {
        return Err(format!("expected {known:?}, and there are ledgers of {ledgers:?}"));
    }
    let noted = history.events.iter().filter_map(|event| event.what.subscription());
    let witnessed = scan.witnesses.iter().map(|witness| &*witness.subscription);
    match noted.chain(witnessed).find(|name| !known.contains(name)) {
        Some(name) => Err(format!("nobody expects the subscription {name}")),
        None => Ok(()),
    }
}

fn witnesses(scan: &Scan) -> Sanity {
    let mut seen = HashSet::new();
    let twice = scan.witnesses.iter().find(|one| !seen.insert((&one.subscription, one.n)));
    twice.map_or(Ok(()), |one| Err(format!("two effects are number {}", one.n)))
}

fn faults(history: &History) -> Sanity {
    let mut open = HashMap::new();
    for event in &history.events {
        match &event.what {
            What::Fault { kind, target } => *open.entry((kind, target)).or_insert(0_i64) += 1,
            What::Healed { kind, target } => *open.entry((kind, target)).or_insert(0) -= 1,
            _ => {}
        }
    }
    match open.into_iter().find(|(_, faults)| *faults != 0) {
        Some(((kind, target), _)) => Err(format!("{kind} of {target} was never healed")),
        None => Ok(()),
    }
}

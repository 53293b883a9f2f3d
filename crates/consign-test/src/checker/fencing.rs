//! Nothing of an older epoch takes effect after a newer one; an epoch has one worker.

use std::collections::HashMap;
use std::hash::Hash;

use super::facts::Facts;
use super::findings::{Finding, Findings};
use super::reading::Reading;
use super::{Reads, Rule, Witness};
use crate::history::{Delivered, What};

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    for reading in &facts.readings {
        if reading.is_once() {
            match reading.reader.reads {
                Reads::Stream => falling(reading, findings, |effect| {
                    facts.place(effect.message).map(|place| place.partition)
                }),
                Reads::Queue => falling(reading, findings, |effect| effect.key.as_deref()),
            }
        }
        workers(facts, reading, findings);
    }
}

/// Epochs never fall within what shares an order.
fn falling<'a, O: Eq + Hash>(
    reading: &Reading<'a>,
    findings: &mut Findings,
    order: impl Fn(&'a Witness) -> Option<O>,
) {
    let mut newest = HashMap::new();
    for effect in &reading.effects {
        let Some(order) = order(effect) else { continue };
        let newest = newest.entry(order).or_insert(effect.epoch);
        if effect.epoch < *newest {
            let (message, epoch) = (effect.message, effect.epoch);
            let says = format!("{message} was applied under epoch {epoch}, after {newest}");
            findings.add(Finding::new(Rule::Fencing, says).of(reading).message(message));
        }
        *newest = effect.epoch.max(*newest);
    }
}

fn workers(facts: &Facts<'_>, reading: &Reading<'_>, findings: &mut Findings) {
    let applied = reading.effects.iter().filter_map(|effect| {
        let partition = facts.place(effect.message)?.partition;
        Some((partition, effect.epoch, effect.worker, effect.message))
    });
    let delivered = facts.history.events.iter().filter_map(|event| match &event.what {
        What::Delivered(Delivered { subscription, message, place, worker, epoch, .. })
            if *subscription == reading.reader.name =>
        {
            Some((place.partition, *epoch, *worker, *message))
        }
        _ => None,
    });
    let mut owners = HashMap::new();
    for (partition, epoch, worker, message) in applied.chain(delivered) {
        let owner = owners.entry((partition, epoch)).or_insert(worker);
        if *owner != worker {
            let says = format!("workers {owner} and {worker} share epoch {epoch} of {partition}");
            findings.add(Finding::new(Rule::Fencing, says).of(reading).message(message));
        }
    }
}

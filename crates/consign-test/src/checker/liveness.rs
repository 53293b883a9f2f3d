//! When faults stop, what is left is done in bounded time; without faults, everything is.

use std::collections::HashMap;
use std::time::Duration;

use super::Rule;
use super::facts::Facts;
use super::findings::{Finding, Findings};
use super::reading::Reading;
use crate::history::{Delivered, End, MessageNumber, Moment, What};

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let faults = Faults::of(facts);
    for reading in &facts.readings {
        attempts(facts, reading, findings);
        let applied = applied(facts, reading);
        if let Some(within) = facts.expected.drains_within {
            backlog(facts, reading, findings);
            drained(facts, reading, (&applied, within), findings);
        }
        if let Some(within) = facts.expected.applied_within {
            prompt(facts, reading, (&applied, within), &faults, findings);
        }
    }
}

/// What a subscription still has to do.
pub(super) fn still_to_do<'a>(
    facts: &'a Facts<'a>,
    reading: &'a Reading<'a>,
) -> impl Iterator<Item = MessageNumber> + 'a {
    let messages = facts.to_apply(reading).map(|(message, _)| message);
    messages.filter(|message| {
        let is_left = facts.is_unread(reading, *message) || reading.waiting.contains(message);
        is_left && !reading.is_applied(*message)
    })
}

fn backlog(facts: &Facts<'_>, reading: &Reading<'_>, findings: &mut Findings) {
    for message in still_to_do(facts, reading) {
        let says = format!("{message} is still to be done");
        findings.add(Finding::new(Rule::Liveness, says).of(reading).message(message));
    }
}

fn attempts(facts: &Facts<'_>, reading: &Reading<'_>, findings: &mut Findings) {
    let Some(max) = reading.reader.attempts_max else { return };
    for event in &facts.history.events {
        if let What::Delivered(Delivered { subscription, message, attempt, .. }) = &event.what
            && *subscription == reading.reader.name
            && *attempt > max
        {
            let says = format!("{message} is tried for the {attempt}th time, {max} is the most");
            findings.add(Finding::new(Rule::Liveness, says).of(reading).message(*message));
        }
    }
}

type Applied<'a> = (&'a HashMap<MessageNumber, Moment>, Duration);

/// When each message was first seen to be applied; who was killed could not say so.
fn applied(facts: &Facts<'_>, reading: &Reading<'_>) -> HashMap<MessageNumber, Moment> {
    let mut applied = HashMap::new();
    for event in &facts.history.events {
        if let What::Applied { subscription, message, end: End::Done, .. } = &event.what
            && *subscription == reading.reader.name
            && !reading.redriven.contains(message)
        {
            applied.entry(*message).or_insert(event.at);
        }
    }
    applied
}

fn drained(
    facts: &Facts<'_>,
    reading: &Reading<'_>,
    (applied, within): Applied<'_>,
    findings: &mut Findings,
) {
    let healed_at = facts.healed_at();
    for (message, publish) in facts.to_apply(reading) {
        let Some(at) = applied.get(&message) else { continue };
        let took = at.since(publish.accepted_at().max(healed_at));
        if took > within {
            let says = format!("{message} took {took:?} although faults were over");
            findings.add(Finding::new(Rule::Liveness, says).of(reading).message(message));
        }
    }
}

fn prompt(
    facts: &Facts<'_>,
    reading: &Reading<'_>,
    (applied, within): Applied<'_>,
    faults: &Faults,
    findings: &mut Findings,
) {
    for (message, publish) in facts.to_apply(reading) {
        let Some(at) = applied.get(&message) else { continue };
        let accepted_at = publish.accepted_at();
        if at.since(accepted_at) > within && !faults.touch(accepted_at, *at) {
            let says = format!("{message} took {:?} without any fault", at.since(accepted_at));
            findings.add(Finding::new(Rule::Liveness, says).of(reading).message(message));
        }
    }
}

/// The times in which something was wrong, and what it had left was being done.
struct Faults(Vec<(Moment, Moment)>);

impl Faults {
    fn of(facts: &Facts<'_>) -> Self {
        let recovery = facts.expected.drains_within.unwrap_or_default();
        let recovery = u64::try_from(recovery.as_nanos()).unwrap_or(u64::MAX);
        let (mut times, mut open) = (Vec::<(Moment, Moment)>::new(), 0_u32);
        for event in &facts.history.events {
            match &event.what {
                What::Fault { .. } => {
                    if open == 0 {
                        times.push((event.at, Moment(u64::MAX)));
                    }
                    open += 1;
                }
                What::Healed { .. } => {
                    open = open.saturating_sub(1);
                    if let Some((_, end)) = times.last_mut().filter(|_| open == 0) {
                        *end = Moment(event.at.0.saturating_add(recovery));
                    }
                }
                _ => {}
            }
        }
        Self(times)
    }

    fn touch(&self, from: Moment, to: Moment) -> bool {
        // Both begins and ends grow, so the last that begins in time is the one to look at.
        let begun = self.0.partition_point(|(begin, _)| *begin <= to);
        begun.checked_sub(1).is_some_and(|last| self.0[last].1 >= from)
    }
}

//! What the rules find, and the little around it that shows it.

use std::collections::{HashMap, HashSet};

use super::facts::Facts;
use super::reading::Reading;
use super::{Rule, Violation};
use crate::history::{Event, MessageNumber};

/// Of each rule: whoever has read so many will not read on.
const VIOLATIONS_MAX: usize = 20;
/// Events around a violation.
const EVENTS_MAX: usize = 10;

/// Collects what the rules find.
#[derive(Default)]
pub(super) struct Findings {
    found: Vec<Finding>,
    of_rule: HashMap<Rule, usize>,
}

/// A violation, by what it is about.
pub(super) struct Finding {
    rule: Rule,
    says: String,
    subscription: Option<String>,
    message: Option<MessageNumber>,
    key: Option<String>,
    /// The event that shows it, where no message does.
    event: Option<usize>,
}

impl Finding {
    pub(super) fn new(rule: Rule, says: impl Into<String>) -> Self {
        let says = says.into();
        Self { rule, says, subscription: None, message: None, key: None, event: None }
    }

    pub(super) fn of(mut self, reading: &Reading<'_>) -> Self {
        self.subscription = Some(reading.reader.name.clone());
        self
    }

    pub(super) fn message(mut self, message: MessageNumber) -> Self {
        self.message = Some(message);
        self
    }

    pub(super) fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    pub(super) fn event(mut self, index: usize) -> Self {
        self.event = Some(index);
        self
    }
}

impl Findings {
    pub(super) fn add(&mut self, finding: Finding) {
        let of_rule = self.of_rule.entry(finding.rule).or_default();
        *of_rule += 1;
        if *of_rule <= VIOLATIONS_MAX {
            self.found.push(finding);
        }
    }

    /// Adds to each finding the events around it.
    pub(super) fn complete(self, facts: &Facts<'_>) -> Vec<Violation> {
        let messages: HashSet<_> = self.found.iter().filter_map(|found| found.message).collect();
        let mut mentions = HashMap::<_, Vec<usize>>::new();
        for (index, event) in facts.history.events.iter().enumerate() {
            if let Some(message) = event.what.message().filter(|one| messages.contains(one)) {
                mentions.entry(message).or_default().push(index);
            }
        }
        let complete = |found: Finding| {
            let mentioned = found.message.and_then(|message| mentions.get(&message));
            let mentioned = mentioned.map_or(&[][..], Vec::as_slice);
            found.complete(facts, mentioned)
        };
        self.found.into_iter().map(complete).collect()
    }
}

impl Finding {
    fn complete(self, facts: &Facts<'_>, mentioned: &[usize]) -> Violation {
        let events = &facts.history.events;
        let is_about = |index: &usize| {
            let of = events[*index].what.subscription();
            of.is_none() || self.subscription.is_none() || of == self.subscription.as_deref()
        };
        let shown: Vec<_> = mentioned.iter().copied().filter(is_about).chain(self.event).collect();
        let own_key = self.message.and_then(|message| facts.key(message)).map(str::to_owned);
        Violation {
            rule: self.rule,
            key: self.key.or(own_key),
            subscription: self.subscription,
            message: self.message,
            seed: facts.history.seed,
            says: self.says,
            around: around(events, &shown),
        }
    }
}

/// The last of `shown`, filled up with what was noted around the very last one.
fn around(events: &[Event], shown: &[usize]) -> Vec<Event> {
    let Some(last) = shown.last().copied() else { return Vec::new() };
    let mut chosen: Vec<_> = shown.iter().rev().take(EVENTS_MAX).copied().collect();
    for distance in 1..=EVENTS_MAX {
        for index in [last.checked_sub(distance), Some(last + distance)].into_iter().flatten() {
            if chosen.len() < EVENTS_MAX && index < events.len() && !chosen.contains(&index) {
                chosen.push(index);
            }
        }
    }
    chosen.sort_unstable();
    chosen.into_iter().map(|index| events[index].clone()).collect()
}

//! A run, sorted so that every rule can look things up.

use std::collections::{BTreeMap, HashMap};

use super::reading::{Reading, Standing};
use super::{Expected, Logged, Scan};
use crate::History;
use crate::history::{MessageNumber, Moment, Place, Publishing, What};

/// What was published and what lies where.
pub(super) struct Facts<'a> {
    pub(super) history: &'a History,
    pub(super) scan: &'a Scan,
    pub(super) expected: &'a Expected,
    pub(super) publishes: BTreeMap<MessageNumber, Publish<'a>>,
    /// Of a message that lies in two places, the first.
    pub(super) log: HashMap<MessageNumber, &'a Logged>,
    /// Where the log begins and ends, per topic and partition.
    pub(super) ranges: HashMap<(&'a str, u16), (u64, u64)>,
    pub(super) readings: Vec<Reading<'a>>,
}

/// A publish and its answer.
pub(super) struct Publish<'a> {
    pub(super) what: &'a Publishing,
    pub(super) at: Moment,
    pub(super) answer: Answer<'a>,
}

/// How a publish ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    Accepted { at: Moment, place: Option<&'a Place> },
    Refused,
    Unknown,
}

impl<'a> Facts<'a> {
    pub(super) fn new(history: &'a History, scan: &'a Scan, expected: &'a Expected) -> Self {
        let mut log = HashMap::new();
        let mut ranges = HashMap::new();
        for row in &scan.log {
            log.entry(row.message).or_insert(row);
            let offset = row.place.offset;
            let range = ranges.entry((&*row.place.topic, row.place.partition));
            let (first, last) = range.or_insert((offset, offset));
            (*first, *last) = (offset.min(*first), offset.max(*last));
        }
        let readings = Reading::all(history, scan, expected);
        let publishes = publishes(history);
        Self { history, scan, expected, publishes, log, ranges, readings }
    }

    /// Whether a message is accepted: somebody was told so, or nobody was told and it is there.
    pub(super) fn is_accepted(&self, message: MessageNumber) -> bool {
        match self.publishes.get(&message).map(|publish| publish.answer) {
            Some(Answer::Accepted { .. }) => true,
            Some(Answer::Unknown) => self.log.contains_key(&message),
            Some(Answer::Refused) | None => false,
        }
    }

    /// Whether the log still holds all that was ever in it.
    pub(super) fn is_whole(&self, topic: &str) -> bool {
        self.ranges.iter().all(|((of, _), (first, _))| *of != topic || *first == 0)
    }

    /// Where a message lies in the log.
    pub(super) fn place(&self, message: MessageNumber) -> Option<&'a Place> {
        self.log.get(&message).map(|row| &row.place)
    }

    pub(super) fn key(&self, message: MessageNumber) -> Option<&'a str> {
        self.publishes.get(&message)?.what.key.as_deref()
    }

    /// Accepted messages that a subscription is to apply: of its topic and kinds, from its start.
    pub(super) fn to_apply(
        &self,
        reading: &'a Reading<'a>,
    ) -> impl Iterator<Item = (MessageNumber, &Publish<'a>)> {
        self.publishes.iter().map(|(message, publish)| (*message, publish)).filter(
            move |(message, publish)| {
                let is_before = self
                    .place(*message)
                    .is_some_and(|place| reading.standing(place) == Standing::Before);
                reading.reads(publish.what) && !is_before && self.is_accepted(*message)
            },
        )
    }

    /// Whether a subscription has yet to come to a message of the log.
    pub(super) fn is_unread(&self, reading: &Reading<'_>, message: MessageNumber) -> bool {
        self.place(message).is_some_and(|place| reading.standing(place) == Standing::Unread)
    }

    /// Since when nothing goes wrong any more.
    pub(super) fn healed_at(&self) -> Moment {
        let is_fault = |what: &What| matches!(what, What::Fault { .. } | What::Healed { .. });
        let faults = self.history.events.iter().filter(|event| is_fault(&event.what));
        faults.map(|event| event.at).max().unwrap_or_default()
    }
}

impl Publish<'_> {
    /// From when on it may be applied.
    pub(super) fn accepted_at(&self) -> Moment {
        match self.answer {
            Answer::Accepted { at, .. } => at,
            Answer::Refused | Answer::Unknown => self.at,
        }
    }
}

fn publishes(history: &History) -> BTreeMap<MessageNumber, Publish<'_>> {
    let mut publishes = BTreeMap::new();
    for event in &history.events {
        let answer = match &event.what {
            What::Publishing(what) => {
                let publish = Publish { what, at: event.at, answer: Answer::Unknown };
                publishes.insert(what.message, publish);
                continue;
            }
            What::Published { place, .. } => {
                Answer::Accepted { at: event.at, place: place.as_ref() }
            }
            What::NotPublished { .. } => Answer::Refused,
            _ => continue,
        };
        let publish = event.what.message().and_then(|message| publishes.get_mut(&message));
        if let Some(publish) = publish {
            publish.answer = answer;
        }
    }
    publishes
}

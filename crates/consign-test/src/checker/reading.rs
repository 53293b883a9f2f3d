//! What one subscription has done, and what its ledger says.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Effects, Expected, LedgerRows, Reader, Scan, Witness};
use crate::History;
use crate::history::{MessageNumber, Place, Publishing, What};

/// One subscription's part of a run.
pub(super) struct Reading<'a> {
    pub(super) reader: &'a Reader,
    pub(super) ledger: &'a LedgerRows,
    /// In the order in which they happened.
    pub(super) effects: Vec<&'a Witness>,
    /// How often each message has its effect.
    pub(super) times: BTreeMap<MessageNumber, usize>,
    pub(super) waiting: HashSet<MessageNumber>,
    /// Dead or discarded.
    pub(super) given_up: HashSet<MessageNumber>,
    pub(super) redriven: HashSet<MessageNumber>,
    pub(super) is_rebuilt: bool,
    /// Start and next message, per partition.
    cursors: HashMap<u16, (u64, u64)>,
    marks: HashSet<(u16, u64)>,
}

/// Where a message stands in a subscription, by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Before the subscription began.
    Before,
    /// Below the cursor, or marked.
    Finished,
    /// Still to come.
    Unread,
}

impl<'a> Reading<'a> {
    pub(super) fn all(history: &'a History, scan: &'a Scan, expected: &'a Expected) -> Vec<Self> {
        let ledgers: HashMap<_, _> =
            scan.ledgers.iter().map(|ledger| (&*ledger.subscription, ledger)).collect();
        let with_ledger = |reader: &'a Reader| Some((reader, *ledgers.get(&*reader.name)?));
        let mut all: Vec<_> = expected
            .subscriptions
            .iter()
            .filter_map(with_ledger)
            .map(|(reader, ledger)| Self::new(reader, ledger))
            .collect();
        for reading in &mut all {
            reading.look_at(history, scan);
        }
        all
    }

    fn new(reader: &'a Reader, ledger: &'a LedgerRows) -> Self {
        let cursors = ledger.cursors.iter().map(|row| (row.partition, (row.start, row.next)));
        Self {
            reader,
            ledger,
            effects: Vec::new(),
            times: BTreeMap::new(),
            waiting: ledger.waiting.iter().copied().collect(),
            given_up: ledger.dead.iter().chain(&ledger.discarded).copied().collect(),
            redriven: HashSet::new(),
            is_rebuilt: false,
            cursors: cursors.collect(),
            marks: ledger.marks.iter().copied().collect(),
        }
    }

    fn look_at(&mut self, history: &History, scan: &'a Scan) {
        let is_own = |witness: &&Witness| witness.subscription == self.reader.name;
        self.effects = scan.witnesses.iter().filter(is_own).collect();
        self.effects.sort_by_key(|witness| witness.n);
        for effect in &self.effects {
            *self.times.entry(effect.message).or_default() += 1;
        }
        for event in &history.events {
            match &event.what {
                What::Redriven { subscription, message } if *subscription == self.reader.name => {
                    self.redriven.insert(*message);
                }
                What::Rebuilt { subscription } if *subscription == self.reader.name => {
                    self.is_rebuilt = true;
                }
                _ => {}
            }
        }
    }

    pub(super) fn is_once(&self) -> bool {
        self.reader.effects == Effects::Once
    }

    pub(super) fn is_applied(&self, message: MessageNumber) -> bool {
        self.times.contains_key(&message)
    }

    /// Whether a row stands in for its effect.
    pub(super) fn is_set_aside(&self, message: MessageNumber) -> bool {
        self.waiting.contains(&message) || self.given_up.contains(&message)
    }

    /// Whether the subscription names such messages.
    pub(super) fn reads(&self, what: &Publishing) -> bool {
        let kinds = self.reader.kinds.as_ref();
        self.reader.topic == what.topic && kinds.is_none_or(|kinds| kinds.contains(&what.kind))
    }

    pub(super) fn standing(&self, place: &Place) -> Standing {
        match self.cursors.get(&place.partition) {
            Some((start, _)) if place.offset < *start => Standing::Before,
            Some((_, next)) if place.offset < *next => Standing::Finished,
            _ if self.marks.contains(&(place.partition, place.offset)) => Standing::Finished,
            _ => Standing::Unread,
        }
    }

    /// The first effect of each message, in the order in which they happened.
    pub(super) fn first_effects(&self) -> impl Iterator<Item = &'a Witness> {
        let mut seen = HashSet::new();
        self.effects.iter().copied().filter(move |effect| seen.insert(effect.message))
    }
}

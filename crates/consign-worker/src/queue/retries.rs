//! Messages that waited, when their time has come: of a key one after the other.

use super::holding::Holding;
use super::item::Item;
use super::lanes::Place;
use consign_core::{Due, Epoch, Fate, Partition, Settle};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, SystemTime};

/// Keys whose messages are taken in one go, and messages of each.
pub(crate) const DUE_MAX: usize = 100;

/// After a message was set aside behind another one, what is due is looked at once in this while.
const LOOK_AFTER: Duration = Duration::from_millis(50);

/// What waited and is due.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    chains: VecDeque<VecDeque<Item>>,
    /// In hand, and what follows each in its chain.
    in_hand: HashMap<Place, VecDeque<Item>>,
    next: Option<SystemTime>,
    /// Something may be due that is not known here.
    look: bool,
}

impl Retries {
    /// Something was set aside, taken over, or asked for.
    pub(crate) fn look(&mut self) {
        self.look = true;
    }

    /// Asks whether to look what is due; only when nothing that was due is left.
    pub(crate) fn is_wanted(&self, now: SystemTime) -> bool {
        let is_due = self.look || self.next.is_some_and(|next| next <= now);
        is_due && self.chains.is_empty() && self.in_hand.is_empty()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.chains.is_empty() && self.in_hand.is_empty()
    }

    /// Something is due that nobody has in hand.
    pub(crate) fn has_ready(&self) -> bool {
        !self.chains.is_empty()
    }

    /// When the next one is due, where that is known.
    pub(crate) fn next_due(&self) -> Option<SystemTime> {
        self.next.filter(|_| self.is_idle())
    }

    pub(crate) fn found(&mut self, due: Due, owned: &[(Partition, Epoch)]) {
        let epochs = owned.iter().copied().collect::<BTreeMap<_, _>>();
        self.look = due.chains.len() >= DUE_MAX;
        self.next = due.next;
        for chain in due.chains {
            let items = chain.into_iter().filter_map(|waiting| {
                let epoch = *epochs.get(&waiting.partition)?;
                Some(Item::again(waiting, epoch))
            });
            let items = items.collect::<VecDeque<_>>();
            if !items.is_empty() {
                self.chains.push_back(items);
            }
        }
    }

    /// The next message; what follows it in its chain waits until it succeeded.
    pub(crate) fn next(&mut self, holding: &mut Holding) -> Option<Item> {
        while let Some(mut chain) = self.chains.pop_front() {
            let Some(item) = chain.pop_front() else { continue };
            if holding.takes_again(&item) {
                self.in_hand.insert((item.partition, item.offset), chain);
                return Some(item);
            }
        }
        None
    }

    /// A message that was taken is the next one again.
    pub(crate) fn put_first(&mut self, item: Item) {
        let mut chain = self.in_hand.remove(&item.place()).unwrap_or_default();
        chain.push_front(item);
        self.chains.push_front(chain);
    }

    /// A message that was due was applied: those behind it follow.
    pub(crate) fn succeeded(&mut self, item: &Item) {
        if let Some(chain) = self.in_hand.remove(&(item.partition, item.offset)) {
            // There may be more than one chain holds.
            self.look = true;
            if !chain.is_empty() {
                self.chains.push_front(chain);
            }
        }
    }

    /// It failed, or was not run: those behind it wait on.
    pub(crate) fn ended(&mut self, item: &Item) {
        self.in_hand.remove(&(item.partition, item.offset));
        self.look = true;
    }

    /// What waits was written: it may be due before what was known to be next.
    pub(crate) fn settled(&mut self, settlement: &[Settle], now: SystemTime) {
        let fates = settlement.iter().flat_map(|part| {
            let aside = part.aside.iter().map(|(_, fate)| Some(fate));
            aside.chain(part.again.iter().map(|(_, fate)| fate.as_ref()))
        });
        for fate in fates {
            match fate {
                Some(Fate::Retry { due, .. }) => self.is_due(*due),
                // It waits for one that waits, unless that has just gone: no hurry.
                Some(Fate::Parked) => self.is_due(now + LOOK_AFTER),
                // Those behind it may be next.
                _ => self.look = true,
            }
        }
    }

    fn is_due(&mut self, at: SystemTime) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// A transaction was rolled back: what is due is looked up again.
    pub(crate) fn rolled_back(&mut self) {
        *self = Self { look: true, ..Self::default() };
    }
}

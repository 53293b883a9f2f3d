//! What an owner knows of one partition from its cursor on.

use consign_core::{Envelope, Epoch, Offset, Settle};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Messages that are finished or in hand above the cursor of one partition, at most; then nothing
/// more is read of it until half of them are gone.
const ABOVE_MAX: usize = 10_000;

/// One partition from its cursor on: what is read, in hand, finished.
///
/// Nothing here is written before it is settled; what is settled moves the cursor over all that is
/// finished without a gap.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) epoch: Epoch,
    cursor: Offset,
    /// From the cursor on; dense, as offsets are.
    slots: VecDeque<Slot>,
    /// What is known of messages that are not read yet, or that are to be read again.
    known: BTreeMap<Offset, Slot>,
    /// Finished since the last settlement.
    unmarked: Vec<Offset>,
    is_full: bool,
}

#[derive(Debug)]
enum Slot {
    /// It waits for its turn.
    Ready(Envelope),
    /// In hand: with a handler, or on its way to be set aside.
    Taken,
    /// Its end is known, and not yet written.
    Finished,
    /// Its done mark is written.
    Marked,
    /// No process of the subscription ever named its kind.
    Skipped(Arc<str>),
}

impl Window {
    pub(crate) fn new(epoch: Epoch, cursor: Offset, marks: Vec<Offset>) -> Self {
        let known = marks.into_iter().map(|offset| (offset, Slot::Marked)).collect();
        Self { epoch, cursor, slots: VecDeque::new(), known, unmarked: Vec::new(), is_full: false }
    }

    /// The next message to be read.
    pub(crate) fn next_read(&self) -> Offset {
        self.at(self.slots.len())
    }

    fn at(&self, index: usize) -> Offset {
        Offset(self.cursor.0 + index as u64)
    }

    /// Too much is unfinished: nothing more is read for now.
    pub(crate) fn is_full(&mut self) -> bool {
        let most = if self.is_full { ABOVE_MAX / 2 } else { ABOVE_MAX };
        self.is_full = self.slots.len() >= most;
        self.is_full
    }

    /// Takes what was read; `true`: it is new, and ready.
    pub(crate) fn read(&mut self, envelope: Envelope) -> bool {
        let slot = self.known.remove(&self.next_read()).unwrap_or(Slot::Ready(envelope));
        let is_ready = matches!(slot, Slot::Ready(_));
        self.slots.push_back(slot);
        is_ready
    }

    /// Takes a message of a kind that is skipped.
    pub(crate) fn skip(&mut self, kind: Arc<str>) {
        let known = self.known.remove(&self.next_read());
        self.slots.push_back(known.unwrap_or(Slot::Skipped(kind)));
    }

    /// Takes a message that is ready; `None`: it is no longer there.
    pub(crate) fn take(&mut self, offset: Offset) -> Option<Envelope> {
        let slot = self.slot(offset).filter(|slot| matches!(slot, Slot::Ready(_)))?;
        match std::mem::replace(slot, Slot::Taken) {
            Slot::Ready(envelope) => Some(envelope),
            _ => None,
        }
    }

    /// A message that was taken is ready again; `false`: it is to be read again first.
    pub(crate) fn hand_back(&mut self, offset: Offset, envelope: Envelope) -> bool {
        let Some(slot) = self.slot(offset) else {
            self.known.remove(&offset);
            return false;
        };
        *slot = Slot::Ready(envelope);
        true
    }

    /// A message that was taken is at its end.
    pub(crate) fn finish(&mut self, offset: Offset) {
        if let Some(slot) = self.slot(offset) {
            *slot = Slot::Finished;
        } else if offset >= self.cursor {
            self.known.insert(offset, Slot::Finished);
        } else {
            return;
        }
        self.unmarked.push(offset);
    }

    /// What finished it was rolled back: it is in hand again.
    pub(crate) fn unfinish(&mut self, offset: Offset) {
        self.unmarked.retain(|finished| *finished != offset);
        if let Some(slot) = self.slot(offset) {
            *slot = Slot::Taken;
        } else if let Some(slot) = self.known.get_mut(&offset) {
            *slot = Slot::Taken;
        }
    }

    fn slot(&mut self, offset: Offset) -> Option<&mut Slot> {
        let index = offset.0.checked_sub(self.cursor.0)?;
        self.slots.get_mut(usize::try_from(index).ok()?)
    }

    /// What the next settlement writes of this partition: without fates, which others know.
    pub(crate) fn settle(&self, partition: consign_core::Partition) -> Settle {
        let mut skipped = BTreeMap::<Arc<str>, u64>::new();
        let mut passed = 0;
        for slot in &self.slots {
            match slot {
                Slot::Ready(_) | Slot::Taken => break,
                Slot::Finished | Slot::Marked => {}
                Slot::Skipped(kind) => *skipped.entry(Arc::clone(kind)).or_default() += 1,
            }
            passed += 1;
        }
        let to = self.at(passed);
        Settle {
            partition,
            epoch: self.epoch,
            from: self.cursor,
            to,
            skipped: skipped.into_iter().collect(),
            marks: self.unmarked.iter().copied().filter(|offset| *offset >= to).collect(),
            aside: Vec::new(),
            again: Vec::new(),
        }
    }

    /// What was settled is committed.
    pub(crate) fn settled(&mut self, settle: &Settle) {
        while self.cursor < settle.to && self.slots.pop_front().is_some() {
            self.cursor.0 += 1;
        }
        for offset in &settle.marks {
            if let Some(slot) = self.slot(*offset) {
                *slot = Slot::Marked;
            } else {
                self.known.insert(*offset, Slot::Marked);
            }
        }
        self.unmarked.clear();
    }

    /// Everything that is neither in hand nor at its end is to be read again.
    pub(crate) fn read_again(&mut self) {
        let cursor = self.cursor;
        let slots = std::mem::take(&mut self.slots).into_iter().enumerate();
        let kept = slots.filter(|(_, slot)| !matches!(slot, Slot::Ready(_) | Slot::Skipped(_)));
        self.known.extend(kept.map(|(index, slot)| (Offset(cursor.0 + index as u64), slot)));
        self.is_full = false;
    }
}

//! All partitions that this process owns for a queue, and what it holds of them.

use super::item::Item;
use super::lanes::{Lane, Lanes, Place};
use super::outage::Failed;
use super::part::Part;
use crate::kinds::Judged;
use crate::poll::{Judgement, Letter, Reading};
use consign_core::{
    Envelope, Fate, Key, Offset, Order, Owned, PageRequest, Partition, Settle, Unfinished,
};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Messages that are ready for a handler, over all partitions: then no more is read.
const READY_MAX: usize = 4_000;
/// Messages and bytes of a page, at most.
const PAGE: (usize, usize) = (500, 1 << 20);
/// A message of a kind that this build cannot read is looked at again after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// The partitions of one queue in this process.
#[derive(Debug)]
pub(crate) struct Holding {
    order: Order,
    parts: BTreeMap<Partition, Part>,
    lanes: Lanes,
    /// Taken, rolled back with others, and to be run first.
    redo: VecDeque<Item>,
    /// At their end, and not yet settled.
    ended: Vec<Ended>,
    /// Messages of other kinds were read, which a settlement passes.
    has_skipped: bool,
    ready: usize,
    readings: u64,
}

/// A message at its end.
#[derive(Clone, Debug)]
struct Ended {
    partition: Partition,
    offset: Offset,
    is_again: bool,
    /// It is parked, as long as this message waits.
    key: Option<Key>,
    /// `None`: applied.
    fate: Option<Fate>,
    /// It was set aside unseen, behind one that may be rolled back.
    behind: Option<Item>,
}

impl Holding {
    pub(crate) fn new(order: Order) -> Self {
        Self {
            order,
            parts: BTreeMap::new(),
            lanes: Lanes::default(),
            redo: VecDeque::new(),
            ended: Vec::new(),
            has_skipped: false,
            ready: 0,
            readings: 0,
        }
    }

    pub(crate) fn partitions(&self) -> impl DoubleEndedIterator<Item = Partition> + '_ {
        self.parts.keys().copied()
    }

    /// Those that stay, with their epochs.
    pub(crate) fn staying(&self) -> Vec<(Partition, consign_core::Epoch)> {
        let staying = self.parts.iter().filter(|(_, part)| !part.is_leaving);
        staying.map(|(partition, part)| (*partition, part.window.epoch)).collect()
    }

    pub(crate) fn add(&mut self, owned: Owned, found: Unfinished) {
        let reading = self.next_reading();
        self.parts.insert(owned.partition, Part::new(owned, found, reading, self.order));
    }

    fn next_reading(&mut self) -> Reading {
        self.readings += 1;
        Reading(self.readings)
    }

    /// Drops partitions at once: somebody else owns them.
    pub(crate) fn remove(&mut self, partitions: &[Partition]) {
        self.forget_unstarted(partitions);
        self.parts.retain(|partition, _| !partitions.contains(partition));
        self.ended.retain(|ended| !partitions.contains(&ended.partition));
        self.forget_redo(partitions);
    }

    /// Takes nothing more of these; [`Holding::left`] says when they may be handed over.
    pub(crate) fn leave(&mut self, partitions: &[Partition]) {
        self.forget_unstarted(partitions);
        for partition in partitions {
            if let Some(part) = self.parts.get_mut(partition) {
                part.is_leaving = true;
            }
        }
        self.forget_redo(partitions);
    }

    /// What is to be run again is not, and its lanes are free.
    fn forget_redo(&mut self, partitions: &[Partition]) {
        let is_gone = |item: &Item| partitions.contains(&item.partition);
        let (gone, kept) = std::mem::take(&mut self.redo).into_iter().partition(is_gone);
        self.redo = kept;
        for item in Vec::from(gone) {
            self.drop_unstarted(&item);
        }
    }

    /// A message in hand is not run, and does not come again here.
    pub(crate) fn drop_unstarted(&mut self, item: &Item) {
        self.let_go(item);
        self.go_on(item);
    }

    /// Of those that leave, the ones of which nothing is in hand or unsettled.
    pub(crate) fn left(&self) -> Vec<Partition> {
        let is_left = |(partition, part): &(&Partition, &Part)| {
            part.is_leaving
                && part.in_hand == 0
                && self.ended.iter().all(|ended| ended.partition != **partition)
        };
        self.parts.iter().filter(is_left).map(|(partition, _)| *partition).collect()
    }

    /// Something may have been published.
    pub(crate) fn changed(&mut self) {
        self.parts.values_mut().for_each(|part| part.changed = true);
    }

    /// Which pages are wanted now.
    pub(crate) fn wanted(&mut self) -> Vec<(PageRequest, Reading)> {
        if self.ready >= READY_MAX {
            return Vec::new();
        }
        let now = Instant::now();
        let request = |(partition, part): (&Partition, &mut Part)| {
            let (messages_max, bytes_max) = PAGE;
            let (partition, from) = (*partition, part.window.next_read());
            let request = PageRequest { partition, from, messages_max, bytes_max };
            part.wants(now).then_some((request, part.reading))
        };
        self.parts.iter_mut().filter_map(request).collect()
    }

    /// Takes what was read; answers why a partition waits.
    pub(crate) fn read(&mut self, judgement: Judgement<Envelope>) -> Option<(Partition, String)> {
        let partition = judgement.partition;
        let part = self.parts.get_mut(&partition)?;
        if part.reading != judgement.reading {
            return None;
        }
        (part.more, part.waits) = (judgement.more, None);
        for Letter { offset, judged, .. } in judgement.messages {
            match judged {
                Judged::Apply(envelope) => self.arrived(partition, offset, envelope),
                Judged::Skip(kind) => {
                    self.part(partition).window.skip(kind);
                    self.has_skipped = true;
                }
                Judged::Wait(why) => {
                    let part = self.part(partition);
                    part.not_before = Some(Instant::now() + LOOK_AGAIN);
                    (part.more, part.waits) = (true, Some(why.clone()));
                    return Some((partition, why));
                }
            }
        }
        None
    }

    fn part(&mut self, partition: Partition) -> &mut Part {
        self.parts.get_mut(&partition).expect("looked up before")
    }

    fn arrived(&mut self, partition: Partition, offset: Offset, envelope: Envelope) {
        let (order, part) = (self.order, self.part(partition));
        let lane = Lane::of(order, partition, envelope.key.as_ref());
        if part.window.read(envelope) {
            self.lanes.arrive((partition, offset), lane);
            self.ready += 1;
        }
    }

    /// The next message for a handler, which is in hand until [`Holding::end`] or
    /// [`Holding::hand_back`]; what is to wait behind another ends on the way.
    pub(crate) fn next(&mut self) -> Option<Item> {
        while let Some(item) = self.next_redo() {
            if !self.is_parked(&item) {
                return Some(item);
            }
            self.end(&item, Some(Fate::Parked));
            self.go_on(&item);
        }
        loop {
            let parts = &self.parts;
            let ((partition, offset), lane) = self.lanes.next(|place| is_free(parts, place))?;
            if let Some(item) = self.take((partition, offset), lane.as_ref()) {
                return Some(item);
            }
        }
    }

    /// A message that is to be run again before all others.
    pub(crate) fn take_redo(&mut self, place: Place) -> Option<Item> {
        let index = self.redo.iter().position(|item| item.place() == place)?;
        self.redo.remove(index)
    }

    /// Asks whether earlier messages of its partition are to be run again before it.
    pub(crate) fn comes_later(&self, item: &Item) -> bool {
        let is_before =
            |other: &Item| other.partition == item.partition && other.offset < item.offset;
        self.redo.iter().any(is_before)
    }

    fn next_redo(&mut self) -> Option<Item> {
        let is_free = |item: &Item| is_free(&self.parts, item.place());
        let index = self.redo.iter().position(is_free)?;
        self.redo.remove(index)
    }

    /// The next message behind `item` in its lane, for the same call of a batch's handler.
    pub(crate) fn next_behind(&mut self, item: &Item) -> Option<Item> {
        let lane = self.lane(item)?;
        loop {
            // One that was behind it may be run alone, before all others.
            if self.parts.get(&item.partition)?.waits_for.is_some() {
                return None;
            }
            let place = self.lanes.next_behind(&lane)?;
            if let Some(item) = self.take(place, None) {
                return Some(item);
            }
        }
    }

    fn take(&mut self, (partition, offset): Place, lane: Option<&Lane>) -> Option<Item> {
        self.ready = self.ready.saturating_sub(1);
        let part = self.parts.get_mut(&partition)?;
        let envelope = part.window.take(offset)?;
        part.in_hand += 1;
        let is_parked = envelope.key.as_ref().is_some_and(|key| part.parked.contains(key));
        let item = Item::first(partition, part.window.epoch, offset, envelope);
        let parked = is_parked.then_some(Fate::Parked);
        let Some(fate) = parked.or_else(|| part.suspect(offset, self.order)) else {
            return Some(item);
        };
        self.end(&item, Some(fate));
        if !is_parked {
            self.block(&item);
        }
        if let Some(lane) = lane {
            self.lanes.done(lane);
        }
        None
    }

    pub(crate) fn lane(&self, item: &Item) -> Option<Lane> {
        Lane::of(self.order, item.partition, item.key())
    }

    /// A message is at its end, to be settled; `None`: it was applied. A key whose message is to be
    /// tried again is parked from now on.
    pub(crate) fn end(&mut self, item: &Item, fate: Option<Fate>) {
        let Some(part) = self.parts.get_mut(&item.partition) else { return };
        if part.window.epoch != item.epoch {
            return;
        }
        part.in_hand = part.in_hand.saturating_sub(1);
        part.waits_for = part.waits_for.filter(|first| *first != item.offset);
        if !item.is_again {
            part.window.finish(item.offset);
        }
        let parks = matches!(fate, Some(Fate::Retry { parks: true, .. } | Fate::Parked));
        let key = item.key().filter(|_| parks).cloned();
        part.parked.extend(key.clone());
        let behind = (fate == Some(Fate::Parked) && !item.is_again).then(|| item.clone());
        let Item { partition, offset, is_again, .. } = *item;
        self.ended.push(Ended { partition, offset, is_again, key, fate, behind });
    }

    /// Its key waits for an earlier message, which failed meanwhile.
    pub(crate) fn is_parked(&self, item: &Item) -> bool {
        let part = self.parts.get(&item.partition).filter(|_| !item.is_again);
        part.zip(item.key()).is_some_and(|(part, key)| part.parked.contains(key))
    }

    /// What waits in a partition was changed from outside; where it `is_blocked`, it still waits for
    /// a message that is in hand.
    pub(crate) fn changed_outside(&mut self, found: Unfinished, is_blocked: bool) {
        let order = self.order;
        if let Some(part) = self.parts.get_mut(&found.partition) {
            part.parked = found.parked.into_iter().collect();
            if order == Order::Block && !is_blocked {
                part.waits_for = found.last_suspect;
            }
        }
    }

    /// With [`Order::Block`]: a message waits for its next attempt, and its partition with it.
    pub(crate) fn block(&mut self, item: &Item) {
        let is_mine = self.order == Order::Block && self.holds(item);
        if let Some(part) = self.parts.get_mut(&item.partition).filter(|_| is_mine) {
            part.waits_for = Some(item.offset);
        }
    }

    pub(crate) fn is_blocked(&self, item: &Item) -> bool {
        !is_free(&self.parts, item.place())
    }

    /// Asks whether a message in hand is still ours.
    pub(crate) fn holds(&self, item: &Item) -> bool {
        let part = self.parts.get(&item.partition);
        part.is_some_and(|part| part.window.epoch == item.epoch && !part.is_leaving)
    }

    /// A message that is in hand comes after those that are in hand already.
    pub(crate) fn put_behind(&mut self, item: Item) {
        self.redo.push_back(item);
    }

    /// A message that is in hand comes before all others.
    pub(crate) fn put_first(&mut self, item: Item) {
        self.redo.push_front(item);
    }

    /// The lane of a message that is at its end goes on with its next one.
    pub(crate) fn go_on(&mut self, item: &Item) {
        if item.leads
            && let Some(lane) = self.lane(item)
        {
            self.lanes.done(&lane);
        }
    }

    /// A message was not run after all: it comes again, after the others that are ready.
    pub(crate) fn hand_back(&mut self, item: Item) {
        let is_mine = self.parts.get(&item.partition);
        if item.is_again || is_mine.is_none_or(|part| part.window.epoch != item.epoch) {
            return self.drop_unstarted(&item);
        }
        self.let_go(&item);
        let (place, lane) = ((item.partition, item.offset), self.lane(&item));
        if self.part(item.partition).window.hand_back(item.offset, item.envelope) {
            self.lanes.hand_back(place, lane);
            self.ready += 1;
        } else if let Some(lane) = lane {
            self.lanes.done(&lane);
        }
    }

    /// A message is no longer in hand, and not at its end.
    pub(crate) fn let_go(&mut self, item: &Item) {
        if let Some(part) = self.parts.get_mut(&item.partition)
            && part.window.epoch == item.epoch
        {
            part.in_hand = part.in_hand.saturating_sub(1);
        }
    }

    /// Counts a message that had waited as in hand; `false`: its partition is no longer ours.
    pub(crate) fn takes_again(&mut self, item: &Item) -> bool {
        let Some(part) = self.parts.get_mut(&item.partition) else { return false };
        let is_mine = part.window.epoch == item.epoch && !part.is_leaving;
        part.in_hand += usize::from(is_mine);
        is_mine
    }

    /// What ended in a transaction that was rolled back is in hand again, and to be run first;
    /// messages that had waited are looked up again instead.
    pub(crate) fn redo(&mut self, mut items: Vec<Item>) {
        let is_redone = |ended: &Ended| {
            items.iter().any(|item| item.place() == (ended.partition, ended.offset))
        };
        let ended = std::mem::take(&mut self.ended);
        let (back, kept) = ended.into_iter().partition::<Vec<_>, _>(is_redone);
        self.ended = kept;
        for Ended { partition, is_again, key, fate, .. } in back {
            let is_first = !is_again && matches!(fate, Some(Fate::Retry { .. }));
            if let (true, Some(part), Some(key)) = (is_first, self.parts.get_mut(&partition), key) {
                part.parked.remove(&key);
                items.extend(self.take_behind(partition, &key));
            }
        }
        for mut item in items.into_iter().rev() {
            // Its lane went on when it ended.
            item.leads = false;
            if item.is_suspect {
                self.block(&item);
            }
            let Some(part) = self.parts.get_mut(&item.partition) else { continue };
            if item.is_again || part.window.epoch != item.epoch || part.is_leaving {
                continue;
            }
            part.window.unfinish(item.offset);
            part.in_hand += 1;
            self.redo.push_front(item);
        }
    }

    /// What was set aside behind a message of this key, whose failure does not stand.
    fn take_behind(&mut self, partition: Partition, key: &Key) -> Vec<Item> {
        let mut items = Vec::new();
        self.ended.retain_mut(|ended| {
            let is_behind = ended.partition == partition && ended.key.as_ref() == Some(key);
            let behind = if is_behind { ended.behind.take() } else { None };
            let is_kept = behind.is_none();
            items.extend(behind);
            is_kept
        });
        items
    }

    /// Writes of a message that had waited what is known before it is run.
    pub(crate) fn note(&mut self, item: &Item, fate: Fate) {
        let part = self.parts.get(&item.partition);
        if part.is_none_or(|part| part.window.epoch != item.epoch) {
            return;
        }
        let Item { partition, offset, is_again, .. } = *item;
        let (key, fate, behind) = (None, Some(fate), None);
        self.ended.push(Ended { partition, offset, is_again, key, fate, behind });
    }

    /// A message's failure was an outage after all: its attempt does not count.
    pub(crate) fn give_back(&mut self, failed: &Failed, due: SystemTime, parks: bool) {
        let Failed { partition, offset, attempt: before, .. } = *failed;
        let place = (partition, offset);
        let mut ended = self.ended.iter_mut();
        let ended = ended.find(|ended| (ended.partition, ended.offset) == place);
        if let Some(Ended { fate: Some(Fate::Retry { attempt, due: at, .. }), .. }) = ended {
            (*attempt, *at) = (before, due);
        } else if self.parts.contains_key(&partition) {
            let error = "it was an outage, and no attempt counts".to_owned();
            let fate = Fate::Retry { attempt: before, due, error, parks, is_suspect: false };
            let (is_again, key, fate, behind) = (true, None, Some(fate), None);
            self.ended.push(Ended { partition, offset, is_again, key, fate, behind });
        }
    }

    /// How many messages are at their end, or passed, and not settled.
    pub(crate) fn unsettled(&self) -> usize {
        self.ended.len() + usize::from(self.has_skipped)
    }

    /// Something is ready for a handler.
    pub(crate) fn has_ready(&self) -> bool {
        self.ready > 0 || !self.redo.is_empty()
    }

    /// Nothing is in a handler's hands, nor ready for one.
    pub(crate) fn is_idle(&self) -> bool {
        self.ready == 0 && self.redo.is_empty() && self.parts.values().all(|part| part.in_hand == 0)
    }

    /// What a transaction has to write.
    pub(crate) fn settlement(&self) -> Vec<Settle> {
        let parts = self.parts.iter().map(|(partition, part)| part.window.settle(*partition));
        let mut parts = parts.map(|part| (part.partition, part)).collect::<BTreeMap<_, _>>();
        for Ended { partition, offset, is_again, fate, .. } in &self.ended {
            let Some(part) = parts.get_mut(partition) else { continue };
            match (is_again, fate) {
                (true, fate) => part.again.push((*offset, fate.clone())),
                (false, Some(fate)) => part.aside.push((*offset, fate.clone())),
                (false, None) => {}
            }
        }
        let is_something = |part: &Settle| {
            part.from < part.to || !(part.marks.is_empty() && part.again.is_empty())
        };
        parts.into_values().filter(is_something).collect()
    }

    /// The settlement is committed, and these keys are parked no more.
    pub(crate) fn settled(&mut self, settlement: &[Settle], unparked: &[(Partition, Key)]) {
        for settle in settlement {
            if let Some(part) = self.parts.get_mut(&settle.partition) {
                part.window.settled(settle);
            }
        }
        for (partition, key) in unparked {
            if let Some(part) = self.parts.get_mut(partition) {
                part.parked.remove(key);
            }
        }
        // A key that was parked no more when these were written is parked by them again.
        for Ended { partition, key, .. } in self.ended.drain(..) {
            if let Some(part) = self.parts.get_mut(&partition) {
                part.parked.extend(key);
            }
        }
        self.has_skipped = false;
    }

    /// Everything that is not in hand is judged anew.
    pub(crate) fn read_all_again(&mut self) {
        let all = self.partitions().collect::<Vec<_>>();
        self.forget_unstarted(&all);
    }

    fn forget_unstarted(&mut self, partitions: &[Partition]) {
        self.lanes.forget(|partition| partitions.contains(&partition));
        for partition in partitions {
            let reading = self.next_reading();
            if let Some(part) = self.parts.get_mut(partition) {
                part.window.read_again();
                (part.reading, part.more, part.not_before) = (reading, true, None);
            }
        }
        self.ready = self.lanes.len();
    }

    /// Why partitions wait.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (Partition, &str)> {
        let waits = self.parts.iter();
        waits.filter_map(|(partition, part)| Some((*partition, part.waits.as_deref()?)))
    }

    /// When a partition that waits is looked at again.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.parts.values().filter_map(|part| part.not_before).min()
    }
}

/// Nothing of its partition is to come before it.
fn is_free(parts: &BTreeMap<Partition, Part>, (partition, offset): Place) -> bool {
    parts.get(&partition).is_none_or(|part| part.is_free(offset))
}

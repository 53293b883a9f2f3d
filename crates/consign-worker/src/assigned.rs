//! The partitions that this process owns for a subscription, and what has been read of them.

use crate::backoff::Backoff;
use crate::kinds::Judged;
use crate::poll::{Judgement, Letter, Reading};
use consign_core::{
    Advance, Epoch, Event, Key, Offset, Owned, PageRequest, Partition, SubscriptionId,
};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use std::vec;
use tokio::time::Instant;

/// Messages that are read ahead for a subscription, over all its partitions: about two batches.
const READ_AHEAD: usize = 8_000;
/// Messages of a page, at least and at most.
const PAGE: (usize, usize) = (50, 1_000);
/// Bytes of payload of a page.
const PAGE_BYTES: usize = 1 << 20;
/// Bytes that are read ahead for a subscription, over all its partitions; past them, and where they
/// are too few for a message, each partition has one message.
const READ_AHEAD_BYTES: usize = 16 << 20;
/// A message that cannot be applied is looked at again after this long, and said again.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// All partitions of one subscription that this process owns.
#[derive(Debug)]
pub(crate) struct Assigned<M> {
    of: SubscriptionId,
    partitions: BTreeMap<Partition, Part<M>>,
    readings: u64,
    /// Where the last batch ended, so that every partition has its turn.
    after: Option<Partition>,
}

#[derive(Debug)]
struct Part<M> {
    epoch: Epoch,
    cursor: Offset,
    /// What was read ahead, page after page: none is empty, and none has a message that waits.
    buffer: VecDeque<vec::IntoIter<Ahead<M>>>,
    /// Bytes of what is in the buffer.
    bytes: usize,
    next_read: Offset,
    reading: Reading,
    /// The log had more than was read.
    more: bool,
    /// Something may have been published since the last page was asked for; its answer says nothing of
    /// that.
    changed: bool,
    /// What follows is not read before this.
    not_before: Option<Instant>,
    /// It failed: it is tried alone, so that it holds nobody else up.
    failed: Option<Backoff>,
    /// Why, as long as it does.
    fails: Option<String>,
    /// Why the next message is not read on from.
    waits: Option<String>,
    /// Keys whose messages wait behind one that failed.
    parked: HashSet<Key>,
}

/// A message that was read ahead.
type Ahead<M> = Letter<Event<M>>;

/// Messages for one transaction, and the moves of the cursors over them.
#[derive(Debug)]
pub(crate) struct Taken<M> {
    pub(crate) events: Vec<Event<M>>,
    pub(crate) moves: Vec<Advance>,
    /// Messages that are passed, too, to wait behind an earlier one of their key.
    pub(crate) parked: Vec<(Partition, Offset)>,
    /// Where the last of the events lies.
    pub(crate) last: Option<(Partition, Offset)>,
}

impl<M> Assigned<M> {
    pub(crate) fn new(of: SubscriptionId) -> Self {
        Self { of, partitions: BTreeMap::new(), readings: 0, after: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.partitions.len()
    }

    pub(crate) fn partitions(&self) -> impl DoubleEndedIterator<Item = Partition> + '_ {
        self.partitions.keys().copied()
    }

    pub(crate) fn add(&mut self, Owned { partition, epoch, cursor }: Owned, parked: Vec<Key>) {
        let reading = self.next_reading();
        let part = Part {
            epoch,
            cursor,
            buffer: VecDeque::new(),
            bytes: 0,
            next_read: cursor,
            reading,
            more: true,
            changed: false,
            not_before: None,
            failed: None,
            fails: None,
            waits: None,
            parked: parked.into_iter().collect(),
        };
        self.partitions.insert(partition, part);
    }

    pub(crate) fn remove(&mut self, partitions: &[Partition]) {
        self.partitions.retain(|partition, _| !partitions.contains(partition));
    }

    pub(crate) fn clear(&mut self) {
        self.partitions.clear();
    }

    fn next_reading(&mut self) -> Reading {
        self.readings += 1;
        Reading(self.readings)
    }

    /// Something may have been published.
    pub(crate) fn changed(&mut self) {
        self.partitions.values_mut().for_each(|part| part.changed = true);
    }

    /// Which pages are wanted now.
    pub(crate) fn wanted(&mut self) -> Vec<(PageRequest, Reading)> {
        let partitions = self.partitions.len().max(1);
        let page = (READ_AHEAD / partitions).clamp(PAGE.0, PAGE.1);
        let ahead = self.partitions.values().map(|part| part.bytes).sum();
        let bytes_max = READ_AHEAD_BYTES.saturating_sub(ahead) / partitions;
        // A page has one message at least, however small it is asked to be.
        let bytes_max = bytes_max.clamp(1, PAGE_BYTES);
        let (is_full, now) = (ahead >= READ_AHEAD_BYTES, Instant::now());
        let request = |(partition, part): (&Partition, &mut Part<M>)| {
            let (partition, from) = (*partition, part.next_read);
            let request = PageRequest { partition, from, messages_max: page, bytes_max };
            let page = if is_full { 1 } else { page };
            part.wants(page, now).then_some((request, part.reading))
        };
        self.partitions.iter_mut().filter_map(request).collect()
    }

    /// Takes what was read; answers why a partition waits.
    pub(crate) fn read(&mut self, judgement: Judgement<Event<M>>) -> Option<(Partition, String)> {
        let part = self.partitions.get_mut(&judgement.partition)?;
        if part.reading != judgement.reading {
            return None;
        }
        let Judgement { partition, mut messages, more, .. } = judgement;
        let waits = waiting(&mut messages);
        part.more = more || waits.is_some();
        if waits.is_some() {
            part.not_before = Some(Instant::now() + LOOK_AGAIN);
        }
        part.waits.clone_from(&waits);
        part.add(messages);
        waits.map(|why| (partition, why))
    }

    /// Takes at most `max` messages that may be applied now.
    pub(crate) fn take(&mut self, max: usize) -> Option<Taken<M>> {
        let ahead = self.partitions.values().map(Part::ahead).sum();
        let events = Vec::with_capacity(max.min(ahead));
        let mut taken = Taken { events, moves: Vec::new(), parked: Vec::new(), last: None };
        for partition in self.in_turn() {
            let part = self.partitions.get_mut(&partition).expect("listed above");
            if part.failed.is_some() && !taken.moves.is_empty() {
                continue;
            }
            let alone = part.failed.is_some();
            part.take(self.of, partition, max, &mut taken);
            self.after = Some(partition);
            if alone || taken.events.len() >= max {
                break;
            }
        }
        (!taken.moves.is_empty()).then_some(taken)
    }

    /// Partitions with messages, beginning behind where the last batch ended.
    fn in_turn(&self) -> Vec<Partition> {
        let ready = self.partitions.iter().filter(|(_, part)| !part.buffer.is_empty());
        let ready = ready.map(|(partition, _)| *partition).collect::<Vec<_>>();
        let (before, behind): (Vec<_>, Vec<_>) =
            ready.into_iter().partition(|partition| Some(*partition) <= self.after);
        behind.into_iter().chain(before).collect()
    }

    /// The moves are committed.
    pub(crate) fn moved(&mut self, moves: &[Advance]) {
        for advance in moves {
            if let Some(part) = self.partitions.get_mut(&advance.partition) {
                part.cursor = advance.to;
                (part.failed, part.fails) = (None, None);
            }
        }
    }

    /// The moves were taken back: what they took is read again.
    pub(crate) fn taken_back(&mut self, moves: &[Advance]) {
        for advance in moves {
            let reading = self.next_reading();
            if let Some(part) = self.partitions.get_mut(&advance.partition) {
                part.read_again(reading);
            }
        }
    }

    /// A key waits behind its message that failed.
    pub(crate) fn park(&mut self, partition: Partition, key: Key) {
        if let Some(part) = self.partitions.get_mut(&partition) {
            part.parked.insert(key);
        }
    }

    /// These keys wait in a partition, and no others.
    pub(crate) fn set_parked(&mut self, partition: Partition, keys: Vec<Key>) {
        if let Some(part) = self.partitions.get_mut(&partition) {
            part.parked = keys.into_iter().collect();
        }
    }

    /// These keys wait no more.
    pub(crate) fn unpark(&mut self, keys: &[(Partition, Key)]) {
        for (partition, key) in keys {
            if let Some(part) = self.partitions.get_mut(partition) {
                part.parked.remove(key);
            }
        }
    }

    /// The epochs of what is owned.
    pub(crate) fn owned(&self) -> Vec<(Partition, Epoch)> {
        self.partitions.iter().map(|(partition, part)| (*partition, part.epoch)).collect()
    }

    /// Where the cursor of a partition stands.
    pub(crate) fn cursor(&self, partition: Partition) -> Option<Offset> {
        self.partitions.get(&partition).map(|part| part.cursor)
    }

    /// Everything is judged anew.
    pub(crate) fn read_all_again(&mut self) {
        for partition in self.partitions().collect::<Vec<_>>() {
            let reading = self.next_reading();
            let part = self.partitions.get_mut(&partition).expect("listed above");
            part.not_before = None;
            part.read_again(reading);
        }
    }

    /// The moves failed: each of their partitions waits, and is then tried alone. Answers the
    /// longest wait and the failures in a row.
    pub(crate) fn failed(&mut self, moves: &[Advance], why: &str) -> (Duration, u32) {
        self.taken_back(moves);
        let mut said = (Duration::ZERO, 0);
        for advance in moves {
            let Some(part) = self.partitions.get_mut(&advance.partition) else { continue };
            part.fails = Some(why.to_owned());
            let backoff = part.failed.get_or_insert_default();
            let wait = backoff.failed();
            said = said.max((wait, backoff.failures()));
            part.not_before = Some(Instant::now() + wait);
        }
        said
    }

    /// Why partitions wait.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (Partition, &str)> {
        self.partitions.iter().filter_map(|(partition, part)| {
            Some((*partition, part.fails.as_deref().or(part.waits.as_deref())?))
        })
    }

    /// When a partition that waits is looked at again.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.partitions.values().filter_map(|part| part.not_before).min()
    }
}

/// Why the last message of a page waits, if it does; then it is no longer among them.
fn waiting<M>(messages: &mut Vec<Letter<M>>) -> Option<String> {
    let last = messages.pop_if(|letter| matches!(letter.judged, Judged::Wait(_)))?;
    let Judged::Wait(why) = last.judged else { return None };
    Some(why)
}

impl<M> Part<M> {
    fn wants(&mut self, page: usize, now: Instant) -> bool {
        if self.not_before.is_some_and(|at| at > now) {
            return false;
        }
        self.not_before = None;
        let wants = (self.more || self.changed) && self.ahead() < page;
        self.changed &= !wants;
        wants
    }

    /// How many messages were read ahead.
    fn ahead(&self) -> usize {
        self.buffer.iter().map(ExactSizeIterator::len).sum()
    }

    fn add(&mut self, page: Vec<Ahead<M>>) {
        let Some(last) = page.last() else { return };
        self.next_read = Offset(last.offset.0 + 1);
        self.bytes += page.iter().map(|letter| letter.bytes).sum::<usize>();
        self.buffer.push_back(page.into_iter());
    }

    fn next(&mut self) -> Option<Ahead<M>> {
        let page = self.buffer.front_mut()?;
        let letter = page.next()?;
        if page.as_slice().is_empty() {
            self.buffer.pop_front();
        }
        self.bytes -= letter.bytes;
        Some(letter)
    }

    fn is_parked(&self, event: &Event<M>) -> bool {
        !self.parked.is_empty()
            && event.delivery.key.as_ref().is_some_and(|key| self.parked.contains(key))
    }

    fn read_again(&mut self, reading: Reading) {
        self.buffer.clear();
        self.bytes = 0;
        (self.next_read, self.reading, self.more) = (self.cursor, reading, true);
    }

    fn take(&mut self, of: SubscriptionId, partition: Partition, max: usize, into: &mut Taken<M>) {
        let (from, mut to, mut messages) = (self.cursor, self.cursor, 0);
        let mut skipped = BTreeMap::<Arc<str>, u64>::new();
        while into.events.len() < max
            && let Some(Letter { offset, judged, .. }) = self.next()
        {
            match judged {
                Judged::Apply(event) if self.is_parked(&event) => {
                    into.parked.push((partition, offset));
                }
                Judged::Apply(event) => {
                    into.events.push(event);
                    into.last = Some((partition, offset));
                }
                Judged::Skip(kind) => *skipped.entry(kind).or_default() += 1,
                Judged::Wait(why) => unreachable!("it waits, and was not read ahead: {why}"),
            }
            (to, messages) = (Offset(offset.0 + 1), messages + 1);
        }
        if messages > 0 {
            let (subscription, epoch) = (of, self.epoch);
            let skipped = skipped.into_iter().collect();
            let advance = Advance { subscription, partition, epoch, from, to, messages, skipped };
            into.moves.push(advance);
        }
    }
}

//! What the simulated database keeps beside the log, as tables that are copied for a transaction.

use super::log::Log;
use super::mutant::Mutant;
use consign_core::{
    Epoch, Fate, Key, Offset, Partition, Progress, Settle, SubscriptionId, WorkerId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// A message of a subscription, by partition and offset.
pub(super) type At = (SubscriptionId, Partition, Offset);
/// A key of a subscription.
type OfKey = (SubscriptionId, Partition, Key);

#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    pub(super) mutant: Option<Mutant>,
    pub(super) subscriptions: Vec<SubscriptionRow>,
    pub(super) cursors: BTreeMap<(SubscriptionId, Partition), Cursor>,
    pub(super) marks: BTreeSet<At>,
    pub(super) waiting: BTreeMap<At, Wait>,
    pub(super) parked: BTreeSet<OfKey>,
    pub(super) dead: BTreeSet<At>,
    pub(super) discarded: BTreeSet<At>,
    pub(super) workers: BTreeMap<WorkerId, WorkerRow>,
}

#[derive(Clone, Debug)]
pub(super) struct SubscriptionRow {
    pub(super) name: String,
    pub(super) kinds: Vec<String>,
    pub(super) progress: Progress,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    pub(super) start: Offset,
    pub(super) next: Offset,
    pub(super) epoch: Epoch,
    pub(super) owner: Option<WorkerId>,
    pub(super) suspects_below: Offset,
    pub(super) counts: Counts,
}

/// What became of messages of one cursor.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) applied: i64,
    pub(super) dead: i64,
    pub(super) waiting: i64,
    pub(super) discarded: i64,
}

/// A message that waits; without a time it waits behind others of its key.
#[derive(Clone, Debug)]
pub(super) struct Wait {
    pub(super) attempt: u32,
    pub(super) due: Option<SystemTime>,
    pub(super) is_suspect: bool,
    pub(super) key: Option<Key>,
}

#[derive(Clone, Debug)]
pub(super) struct WorkerRow {
    pub(super) process: u32,
    pub(super) subscriptions: Vec<SubscriptionId>,
    pub(super) alive_until: SystemTime,
}

impl Rows {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Moves a cursor that stands where it must, under the epoch that is the newest.
    pub(super) fn advance(
        &mut self,
        (of, partition, epoch): (SubscriptionId, Partition, Epoch),
        (from, to): (Offset, Offset),
        counts: Counts,
    ) -> bool {
        let (any_place, any_epoch) = (self.is(Mutant::NoPlaceCheck), self.is(Mutant::NoEpochCheck));
        let Some(cursor) = self.cursors.get_mut(&(of, partition)) else { return false };
        if !(any_epoch || cursor.epoch == epoch) || !(any_place || cursor.next == from) {
            return false;
        }
        cursor.next = to;
        if cursor.suspects_below <= to {
            cursor.suspects_below = Offset(0);
        }
        cursor.counts.applied += counts.applied;
        cursor.counts.dead += counts.dead;
        cursor.counts.waiting += counts.waiting;
        cursor.counts.discarded += counts.discarded;
        true
    }

    /// Settles in one partition; `None`: somebody else owns it, or has settled one of these.
    /// Answers the keys that are parked no more.
    pub(super) fn settle(
        &mut self,
        log: &Log,
        of: SubscriptionId,
        part: &Settle,
        now: SystemTime,
    ) -> Option<Vec<Key>> {
        let mut counts = Counts { applied: self.mark(of, part)?, ..Counts::default() };
        let mut aside = part.aside.clone();
        aside.sort_by_key(|(offset, _)| *offset);
        for (offset, fate) in aside {
            counts.applied -= 1;
            let key = log.key(part.partition, offset);
            self.put_aside((of, part.partition, offset), key, fate, &mut counts, now)?;
        }
        let keys = self.end_waiting(of, part, &mut counts)?;
        let unparked = keys.into_iter().filter(|key| self.go_on(of, part.partition, key, now));
        let unparked = unparked.collect();
        let whose = (of, part.partition, part.epoch);
        self.advance(whose, (part.from, part.to), counts).then_some(unparked)
    }

    /// Marks what is finished above the cursor's new place, and removes the marks below it;
    /// answers how many messages are finished now.
    fn mark(&mut self, of: SubscriptionId, part: &Settle) -> Option<i64> {
        let place = |offset| (of, part.partition, offset);
        let below = self.marks.range(place(Offset(0))..place(part.to)).count();
        let end = if self.is(Mutant::MarksGoEarly) { Offset(part.to.0 + 2) } else { part.to };
        if part.to > part.from {
            let gone = self.marks.range(place(Offset(0))..place(end)).copied();
            for mark in gone.collect::<Vec<_>>() {
                self.marks.remove(&mark);
            }
        }
        let cursor = *self.cursors.get(&(of, part.partition))?;
        let is_newest = self.is(Mutant::NoEpochCheck) || cursor.epoch == part.epoch;
        for offset in &part.marks {
            let is_new =
                is_newest && cursor.next <= *offset && !self.marks.contains(&place(*offset));
            if !is_new {
                return None;
            }
            if !self.is(Mutant::MarksNotWritten) {
                self.marks.insert(place(*offset));
            }
        }
        let skipped = part.skipped.iter().map(|(_, total)| total).sum::<u64>();
        let passed = part.to.0 - part.from.0 - skipped;
        Some(signed(passed) - count(below) + count(part.marks.len()))
    }

    fn put_aside(
        &mut self,
        at: At,
        key: Option<Key>,
        fate: Fate,
        counts: &mut Counts,
        now: SystemTime,
    ) -> Option<()> {
        match fate {
            Fate::Retry { attempt, due, parks, is_suspect, .. } => {
                counts.waiting += 1;
                let attempt = if self.is(Mutant::AttemptForgotten) { 1 } else { attempt };
                let wait = Wait { attempt, due: Some(due), is_suspect, key };
                self.wait(at, wait, parks, Mutant::RetryNotWritten)
            }
            Fate::Parked => {
                counts.waiting += 1;
                let due = (!self.waits_before(at, key.as_ref())).then_some(now);
                let wait = Wait { attempt: 1, due, is_suspect: false, key };
                self.wait(at, wait, true, Mutant::ParkedNotWritten)
            }
            Fate::Dead { .. } => {
                counts.dead += 1;
                (self.is(Mutant::DeadNotWritten) || self.dead.insert(at)).then_some(())
            }
            Fate::Discarded(_) => {
                counts.discarded += 1;
                (self.is(Mutant::DiscardedNotCounted) || self.discarded.insert(at)).then_some(())
            }
        }
    }

    fn wait(&mut self, at: At, wait: Wait, parks: bool, unless: Mutant) -> Option<()> {
        self.park(at, wait.key.as_ref(), parks);
        (self.is(unless) || self.waiting.insert(at, wait).is_none()).then_some(())
    }

    fn park(&mut self, (of, partition, _): At, key: Option<&Key>, parks: bool) {
        if let Some(key) = key.filter(|_| parks && !self.is(Mutant::KeyNotParked)) {
            self.parked.insert((of, partition, key.clone()));
        }
    }

    /// Earlier messages of its key wait.
    fn waits_before(&self, (of, partition, offset): At, key: Option<&Key>) -> bool {
        let earlier = self.waiting.range((of, partition, Offset(0))..(of, partition, offset));
        key.is_some() && earlier.into_iter().any(|(_, wait)| wait.key.as_ref() == key)
    }

    /// Ends, or puts off again, messages that had waited; answers keys that may go on.
    fn end_waiting(
        &mut self,
        of: SubscriptionId,
        part: &Settle,
        counts: &mut Counts,
    ) -> Option<BTreeSet<Key>> {
        let mut keys = BTreeSet::new();
        for (offset, fate) in &part.again {
            let at = (of, part.partition, *offset);
            let key = self.waiting.get(&at)?.key.clone();
            match fate {
                Some(Fate::Retry { attempt, due, parks, is_suspect, .. }) => {
                    self.put_off(at, (*attempt, *due, *is_suspect));
                    self.park(at, key.as_ref(), *parks);
                    continue;
                }
                Some(Fate::Parked) => continue,
                Some(Fate::Dead { .. }) => {
                    counts.dead += 1;
                    if !self.is(Mutant::DeadNotWritten) {
                        self.dead.insert(at).then_some(())?;
                    }
                }
                Some(Fate::Discarded(_)) => {
                    counts.discarded += 1;
                    if !self.is(Mutant::DiscardedNotCounted) {
                        self.discarded.insert(at).then_some(())?;
                    }
                }
                None => counts.applied += 1,
            }
            counts.waiting -= 1;
            if !self.is(Mutant::RetryStays) {
                self.waiting.remove(&at);
            }
            keys.extend(key);
        }
        Some(keys)
    }

    fn put_off(&mut self, at: At, (attempt, due, is_suspect): (u32, SystemTime, bool)) {
        let is_kept =
            self.is(Mutant::AttemptForgotten) || (is_suspect && self.is(Mutant::SuspectNotStored));
        let due = if self.is(Mutant::NeverDue) { due + Duration::from_hours(1) } else { due };
        let wait = self.waiting.get_mut(&at).expect("looked up before");
        if !is_kept {
            wait.attempt = attempt;
        }
        (wait.due, wait.is_suspect) = (Some(due), is_suspect);
    }

    /// The next message of a key comes; `true`: there is none, and it is parked no more.
    fn go_on(
        &mut self,
        of: SubscriptionId,
        partition: Partition,
        key: &Key,
        now: SystemTime,
    ) -> bool {
        let stops = self.is(Mutant::ChainStops);
        let mut left = self.of_partition_mut(of, partition);
        let first = left.find(|(_, wait)| wait.key.as_ref() == Some(key));
        let is_left = first.is_some();
        if let Some((_, wait)) = first.filter(|(_, wait)| wait.due.is_none() && !stops) {
            wait.due = Some(now);
        }
        drop(left);
        (!is_left || self.is(Mutant::UnparkedEarly))
            && self.parked.remove(&(of, partition, key.clone()))
    }

    fn of_partition_mut(
        &mut self,
        of: SubscriptionId,
        partition: Partition,
    ) -> impl Iterator<Item = (&At, &mut Wait)> {
        let (from, to) = ((of, partition, Offset(0)), (of, partition, Offset(u64::MAX)));
        self.waiting.range_mut(from..to)
    }

    /// What waits in a partition, in the order of the log.
    pub(super) fn of_partition(
        &self,
        of: SubscriptionId,
        partition: Partition,
    ) -> impl DoubleEndedIterator<Item = (&At, &Wait)> {
        let (from, to) = ((of, partition, Offset(0)), (of, partition, Offset(u64::MAX)));
        self.waiting.range(from..to)
    }

    /// Below which an owner that died may have had something in hand.
    pub(super) fn suspects_below(
        &self,
        of: SubscriptionId,
        partition: Partition,
    ) -> Option<Offset> {
        let cursor = self.cursors.get(&(of, partition))?;
        Some(cursor.suspects_below).filter(|below| *below > Offset(0))
    }

    /// The last message that waits to be run alone.
    pub(super) fn last_suspect(&self, of: SubscriptionId, partition: Partition) -> Option<Offset> {
        if self.is(Mutant::TakeOverIgnoresSuspect) {
            return None;
        }
        let mut waiting = self.of_partition(of, partition);
        waiting.rfind(|(_, wait)| wait.is_suspect).map(|((_, _, offset), _)| *offset)
    }

    /// Notes of what a worker that died had in hand that it may have killed it.
    pub(super) fn suspect(&mut self, log: &Log, dead: WorkerId, now: SystemTime) {
        let owned = self.cursors.iter_mut().filter(|(_, cursor)| cursor.owner == Some(dead));
        let mut suspects = Vec::new();
        let is_told = self.mutant != Some(Mutant::NobodyIsSuspect);
        for (place, cursor) in owned.filter(|_| is_told) {
            cursor.suspects_below = log.end(place.1);
            suspects.push(*place);
        }
        for (of, partition) in suspects {
            for (_, wait) in self.of_partition_mut(of, partition) {
                wait.is_suspect |= wait.due.is_none_or(|due| due <= now);
            }
        }
        self.workers.remove(&dead);
    }

    pub(super) fn is_alive(&self, worker: WorkerId, now: SystemTime) -> bool {
        self.workers.get(&worker).is_some_and(|row| row.alive_until > now)
    }
}

fn signed(messages: u64) -> i64 {
    messages.cast_signed()
}

fn count(messages: usize) -> i64 {
    i64::try_from(messages).expect("fewer than a log holds")
}

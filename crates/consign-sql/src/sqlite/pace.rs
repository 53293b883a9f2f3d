//! How much a worker takes in one transaction, and how long it rests afterwards.

use std::time::Duration;

/// How long a transaction may hold the write lock, at least.
const HOLD_MIN: Duration = Duration::from_millis(1);
/// A worker may hold the lock for as long as a sync takes here, but not for longer than this.
const HOLD_MAX: Duration = Duration::from_micros(2_500);
/// Where no request was seen lately it may hold the lock for so long: a larger batch costs less a
/// message, and the first request that comes waits for one of them.
const HOLD_ALONE: Duration = Duration::from_millis(5);
/// A rest is so many times as long as the hold.
const REST: f64 = 2.0;
/// The first batch of a subscription.
const MESSAGES_FIRST: usize = 32;
/// A batch is at most so many times as large as the one before.
const GROWTH: f64 = 2.0;
/// The largest batch: what a page of every partition holds.
const MESSAGES_MAX: usize = 8_000;
/// Pages that are not yet copied before a checkpoint: where syncs are cheap requests feel its
/// writes, where they are dear its two syncs are shared by more.
const PASSIVE_PAGES: (i64, i64) = (250, 2_000);

/// The batch sizes of one subscription, by the clock: beside requests, and alone.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    beside: Size,
    alone: Size,
    is_alone: bool,
}

#[derive(Debug)]
struct Size {
    messages: usize,
    /// Messages of the transaction before, and for how long it held the lock.
    last: Option<(usize, Duration)>,
}

/// What one disk and machine cost, learnt by all transactions of a process.
#[derive(Debug)]
pub(crate) struct Costs {
    sync: Duration,
    commit: Duration,
}

impl Pace {
    /// Messages that the next transaction should take.
    pub(crate) fn messages(&self) -> usize {
        if self.is_alone { self.alone.messages } else { self.beside.messages }
    }

    /// Learns from a transaction of `messages` that held the lock for `held`, and whether the next
    /// one is alone.
    pub(crate) fn committed(
        &mut self,
        messages: usize,
        held: Duration,
        costs: &Costs,
        is_alone: bool,
    ) {
        let was_alone = std::mem::replace(&mut self.is_alone, is_alone);
        let size = if was_alone { &mut self.alone } else { &mut self.beside };
        size.committed(messages, held, costs.hold(was_alone));
    }
}

impl Default for Size {
    fn default() -> Self {
        Self { messages: MESSAGES_FIRST, last: None }
    }
}

impl Size {
    fn committed(&mut self, messages: usize, held: Duration, target: Duration) {
        // The first commit after a restart of the WAL syncs its header: one long hold is no reason
        // for smaller batches, two are.
        let last = self.last.replace((messages, held));
        let typical = last.map_or(held, |last| held.min(expected(last, messages)));
        let factor = target.as_secs_f64() / typical.as_secs_f64().max(1e-6);
        // What is far from its size gets there in few steps, and no step goes past it.
        let factor = factor.clamp(0.5, GROWTH);
        if messages >= self.messages || factor < 1.0 {
            self.messages = scaled(messages, factor).clamp(1, MESSAGES_MAX);
        }
    }
}

/// How long so many messages take, if each takes as long as before.
#[expect(clippy::cast_precision_loss, reason = "a count of messages is small")]
fn expected((before, held): (usize, Duration), messages: usize) -> Duration {
    held.mul_f64(messages.max(1) as f64 / before.max(1) as f64)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of messages is small and positive"
)]
fn scaled(messages: usize, factor: f64) -> usize {
    (messages as f64 * factor).ceil() as usize
}

impl Default for Costs {
    fn default() -> Self {
        Self { sync: HOLD_MIN, commit: Duration::from_secs(1) }
    }
}

impl Costs {
    /// Learns what a sync costs.
    pub(crate) fn synced(&mut self, took: Duration) {
        self.sync = (self.sync * 7 + took.min(HOLD_MAX)) / 8;
    }

    /// Learns what a COMMIT costs: the least of them is what even an empty batch costs.
    pub(crate) fn committed(&mut self, took: Duration) {
        self.commit = self.commit.mul_f64(1.02).min(took);
    }

    /// How long a transaction may hold the lock: as long as a sync; where each commit syncs, twice
    /// as long as that, or nothing would get done.
    fn hold(&self, is_alone: bool) -> Duration {
        let least = if is_alone { HOLD_ALONE } else { HOLD_MIN };
        least.max(self.sync).max(self.commit * 2)
    }

    /// How long to rest after a transaction that held the lock for `held`.
    pub(crate) fn rest(&self, held: Duration) -> Duration {
        held.min(self.hold(false) * 4).mul_f64(REST)
    }

    /// After so many pages that are not yet copied a checkpoint is due.
    pub(crate) fn passive_pages(&self) -> i64 {
        let sync = i64::try_from(self.sync.as_micros()).unwrap_or(i64::MAX / 4);
        (sync * 4 / 5).clamp(PASSIVE_PAGES.0, PASSIVE_PAGES.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(messages: usize) -> Duration {
        Duration::from_micros(40) * u32::try_from(messages).expect("a small count")
    }

    #[test]
    fn a_batch_that_grew_alone_is_small_again_beside_requests() {
        let (mut pace, mut costs) = (Pace::default(), Costs::default());
        costs.committed(Duration::from_micros(100));
        for _ in 0..50 {
            let messages = pace.messages();
            pace.committed(messages, held(messages), &costs, true);
        }
        let alone = pace.messages();
        assert!((100..200).contains(&alone), "{alone} messages alone");
        pace.committed(alone, held(alone), &costs, false);
        let beside = pace.messages();
        assert!(held(beside) <= HOLD_MIN * 3 / 2, "{beside} messages beside requests");
    }

    #[test]
    fn a_batch_is_as_large_as_it_may_be_after_a_few_commits() {
        let (mut size, target) = (Size::default(), HOLD_ALONE * 10);
        let mut longest = Duration::ZERO;
        for _ in 0..8 {
            let took = held(size.messages);
            longest = longest.max(took);
            size.committed(size.messages, took, target);
        }
        assert!(held(size.messages) >= target * 9 / 10, "{} messages", size.messages);
        assert!(longest <= target * 11 / 10, "a batch held the lock for {longest:?}");
    }

    #[test]
    fn one_long_hold_is_no_reason_for_smaller_batches() {
        let (mut size, target) = (Size::default(), HOLD_ALONE);
        for _ in 0..8 {
            size.committed(size.messages, held(size.messages), target);
        }
        let before = size.messages;
        size.committed(before, held(before) * 10, target);
        assert!(size.messages >= before, "{} after {before} messages", size.messages);
        size.committed(before, held(before) * 10, target);
        assert!(size.messages < before, "two are one");
    }
}

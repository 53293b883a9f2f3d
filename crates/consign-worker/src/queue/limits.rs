//! How much of a queue's limits this process has: its share, so that all processes together keep to
//! them without a word between them.

use crate::rate::Rate;
use consign_core::{Members, WorkerId};
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;
use tokio::time::Instant;

/// A larger share of the calls is used after this long: by then the others have seen that theirs is
/// smaller.
const GROWS_AFTER: Duration = Duration::from_millis(300);
/// A limit that held messages up is named for so long after it did it last.
const NAMED_FOR: Duration = Duration::from_secs(5);

/// The limits of one queue, as far as they concern this process.
#[derive(Debug)]
pub(super) struct Limits {
    rate: Option<Bucket>,
    calls: Option<Calls>,
    /// Which one held messages up, and when last.
    held_up: Option<(Instant, String)>,
}

impl Limits {
    pub(super) fn new(rate: Option<Rate>, calls: Option<NonZeroUsize>) -> Self {
        Self { rate: rate.map(Bucket::new), calls: calls.map(Calls::new), held_up: None }
    }

    /// So many processes may own partitions: each has one call at least.
    pub(super) fn workers_max(&self) -> usize {
        self.calls.as_ref().map_or(usize::MAX, |calls| calls.all.get())
    }

    /// Learns who shares the limits, and that this process is to keep so many partitions.
    pub(super) fn share(&mut self, members: &Members, me: WorkerId, partitions: usize) {
        if let Some(bucket) = &mut self.rate {
            bucket.share(partitions, members.partitions.len());
        }
        if let Some(calls) = &mut self.calls {
            calls.share(members, me);
        }
    }

    /// Calls at the same time.
    pub(super) fn calls(&self) -> usize {
        self.calls.as_ref().map_or(usize::MAX, |calls| calls.mine)
    }

    /// Asks whether a message may be taken by the rate.
    pub(super) fn may_take(&mut self) -> bool {
        self.rate.as_mut().is_none_or(|bucket| bucket.refill() >= 1.0)
    }

    /// A message was taken.
    pub(super) fn take(&mut self) {
        if let Some(bucket) = &mut self.rate {
            bucket.tokens -= 1.0;
        }
    }

    /// A message was not begun after all.
    pub(super) fn give_back(&mut self) {
        if let Some(bucket) = &mut self.rate {
            bucket.tokens += 1.0;
        }
    }

    /// When the rate lets the next message come; `None`: it does not hold any up.
    pub(super) fn next_at(&mut self) -> Option<Instant> {
        self.rate.as_mut()?.next_at()
    }

    /// Messages are ready while so many calls run: notes which limit holds them up, if one does.
    pub(super) fn note(&mut self, running: usize) {
        if let Some(why) = self.holds_up(running) {
            self.held_up = Some((Instant::now(), why));
        }
    }

    fn holds_up(&mut self, running: usize) -> Option<String> {
        if let Some(bucket) = self.rate.as_mut().filter(|bucket| bucket.share > 0.0)
            && bucket.refill() < 1.0
        {
            return Some(format!("limited to {} messages a second", bucket.rate.per_second));
        }
        let Calls { all, mine, .. } = self.calls.as_ref()?;
        let is_full = *mine > 0 && running >= *mine;
        is_full.then(|| format!("limited to {all} calls at the same time"))
    }

    /// The limit that holds messages up.
    pub(super) fn cause(&self) -> Option<&str> {
        let (at, why) = self.held_up.as_ref()?;
        (at.elapsed() < NAMED_FOR).then_some(why)
    }
}

/// The messages that may come now, by this process's share of a rate.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    /// From 0 to 1: the part of the partitions that this process keeps.
    share: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// Empty, so that who starts again and again has no more than others.
    fn new(rate: Rate) -> Self {
        Self { rate, share: 0.0, tokens: 0.0, at: Instant::now() }
    }

    /// What a new share brings is not there at once: who had it before may have used it.
    fn share(&mut self, mine: usize, all: usize) {
        self.refill();
        self.share = part(mine, all);
        self.tokens = self.tokens.min(self.tokens_max());
    }

    fn refill(&mut self) -> f64 {
        let now = Instant::now();
        let more = (now - self.at).as_secs_f64() * self.a_second();
        // What was given back may be more than fits, and is not lost.
        self.tokens = self.tokens.max((self.tokens + more).min(self.tokens_max()));
        self.at = now;
        self.tokens
    }

    fn a_second(&self) -> f64 {
        f64::from(self.rate.per_second) * self.share
    }

    fn tokens_max(&self) -> f64 {
        if self.share > 0.0 { (f64::from(self.rate.burst) * self.share).max(1.0) } else { 0.0 }
    }

    fn next_at(&mut self) -> Option<Instant> {
        let missing = 1.0 - self.refill();
        let is_missing = missing > 0.0 && self.share > 0.0;
        // Not a moment before: it would look in vain.
        let wait = || Duration::from_secs_f64(missing / self.a_second()) + Duration::from_micros(1);
        is_missing.then(|| self.at + wait())
    }
}

fn part(mine: usize, all: usize) -> f64 {
    let number = |partitions| u16::try_from(partitions).map_or(f64::from(u16::MAX), f64::from);
    if all == 0 { 0.0 } else { number(mine) / number(all) }
}

/// The calls that this process may make at the same time, of those that all may.
#[derive(Debug)]
struct Calls {
    all: NonZeroUsize,
    mine: usize,
    /// A larger share, from then on.
    grows: Option<(Instant, usize)>,
}

impl Calls {
    fn new(all: NonZeroUsize) -> Self {
        Self { all, mine: 0, grows: None }
    }

    fn share(&mut self, members: &Members, me: WorkerId) {
        let owners = members.partitions.iter().filter_map(|member| member.owner);
        let owners = owners.collect::<BTreeSet<_>>();
        let rank = owners.iter().position(|owner| *owner == me);
        self.learn(rank.map_or(0, |rank| share(self.all.get(), rank, owners.len())));
    }

    fn learn(&mut self, share: usize) {
        if share <= self.mine {
            (self.mine, self.grows) = (share, None);
            return;
        }
        match self.grows {
            Some((at, to)) if to == share && at <= Instant::now() => {
                (self.mine, self.grows) = (share, None);
            }
            Some((_, to)) if to == share => {}
            Some(_) | None => self.grows = Some((Instant::now() + GROWS_AFTER, share)),
        }
    }
}

/// An even share of those who own a partition, the first ones one more: all compute the same.
fn share(all: usize, rank: usize, owners: usize) -> usize {
    all / owners + usize::from(rank < all % owners)
}

#[cfg(test)]
mod tests {
    use super::{Bucket, Calls, GROWS_AFTER, share};
    use crate::rate::Rate;
    use std::num::NonZeroUsize;
    use std::time::Duration;
    use tokio::time::{Instant, advance};

    const STEP: Duration = Duration::from_millis(1);
    const PARTITIONS: usize = 8;

    #[test]
    fn shares_add_up_to_the_whole() {
        for (all, owners) in (1..40).flat_map(|all| (1..=all).map(move |owners| (all, owners))) {
            let shares = (0..owners).map(|rank| share(all, rank, owners)).collect::<Vec<_>>();
            assert_eq!(shares.iter().sum::<usize>(), all, "{shares:?}");
            assert!(shares.iter().all(|share| *share >= 1), "{shares:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_smaller_share_of_the_calls_holds_at_once_and_a_larger_one_after_a_while() {
        let mut calls = Calls::new(NonZeroUsize::new(8).unwrap());
        calls.learn(8);
        assert_eq!(calls.mine, 0);
        advance(GROWS_AFTER).await;
        calls.learn(8);
        assert_eq!(calls.mine, 8);
        calls.learn(2);
        assert_eq!(calls.mine, 2);
        calls.learn(4);
        advance(GROWS_AFTER).await;
        calls.learn(3);
        assert_eq!(calls.mine, 2, "another share waits anew");
    }

    /// Takes all that may be taken while partitions move about; answers when each was.
    async fn taken(rate: Rate, seed: u64) -> (Vec<Instant>, usize) {
        let mut random = fastrand::Rng::with_seed(seed);
        let owners = random.usize(1..=4);
        let mut buckets = (0..owners).map(|_| Bucket::new(rate)).collect::<Vec<_>>();
        let mut taken = Vec::new();
        for step in 0..5_000 {
            if step % 100 == 0 {
                // Some partitions nobody has, for a while.
                let of = (0..PARTITIONS).map(|_| random.usize(..=owners)).collect::<Vec<_>>();
                for (owner, bucket) in buckets.iter_mut().enumerate() {
                    bucket.share(of.iter().filter(|of| **of == owner).count(), PARTITIONS);
                }
            }
            let is_quiet = step / 700 % 2 == 1;
            for bucket in buckets.iter_mut().filter(|_| !is_quiet) {
                while bucket.refill() >= 1.0 {
                    bucket.tokens -= 1.0;
                    taken.push(Instant::now());
                }
            }
            advance(STEP).await;
        }
        (taken, owners)
    }

    #[tokio::test(start_paused = true)]
    async fn in_no_while_do_more_come_than_the_rate_and_the_burst_and_one_an_owner() {
        for (seed, burst) in (0..40).zip([1, 5, 50].into_iter().cycle()) {
            let rate = Rate::per_second(200).burst(burst);
            let (taken, owners) = taken(rate, seed).await;
            assert!(taken.len() > 100, "seed {seed}: {}", taken.len());
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    let (found, whole) = (last - first + 1, (*to - *from).as_secs_f64());
                    let most = f64::from(rate.per_second) * whole + f64::from(rate.burst);
                    let most = most + f64::from(u32::try_from(owners).unwrap());
                    let found = f64::from(u32::try_from(found).unwrap());
                    assert!(found <= most + 1e-6, "seed {seed}: {found} in {whole} s, not {most}");
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_all_partitions_has_the_whole_rate() {
        let mut bucket = Bucket::new(Rate::per_second(200).burst(10));
        bucket.share(PARTITIONS, PARTITIONS);
        let (until, mut taken) = (Instant::now() + Duration::from_secs(10), 0);
        while Instant::now() < until {
            while bucket.refill() >= 1.0 {
                bucket.tokens -= 1.0;
                taken += 1;
            }
            tokio::time::sleep_until(bucket.next_at().expect("it is empty")).await;
        }
        assert!((1_990..=2_010).contains(&taken), "{taken} in 10 s");
    }
}

//! Something is away that handlers need: all wait, nobody's attempt counts, one message probes.

use super::lanes::Place;
use crate::backoff::Backoff;
use consign_core::{Key, MessageId, Offset, Partition, fingerprint as text_fingerprint};
use std::time::Duration;
use tokio::time::Instant;

/// So many different keys in a row that fail with one fingerprint are an outage.
const KEYS_IN_A_ROW: usize = 5;

/// Messages whose attempts are given back when it was one, at most.
const STREAK_MAX: usize = 100;

/// Whether handlers are called, and how many at a time.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    open: Option<Outage>,
    streak: Vec<Failed>,
    fingerprint: String,
}

#[derive(Debug)]
struct Outage {
    why: String,
    since: Instant,
    backoff: Backoff,
    /// Then one message probes.
    probe_at: Instant,
}

/// A message whose attempt is given back when its failure was an outage after all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) partition: Partition,
    pub(crate) offset: Offset,
    pub(crate) attempt: u32,
    who: Who,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    Key(Key),
    Message(MessageId),
}

impl Outages {
    /// How many handlers may run now, of `most`.
    pub(crate) fn concurrency(&self, most: usize) -> usize {
        match &self.open {
            None => most,
            Some(outage) if Instant::now() >= outage.probe_at => 1,
            Some(_) => 0,
        }
    }

    /// When the next probe is due.
    pub(crate) fn probe_at(&self) -> Option<Instant> {
        self.open.as_ref().map(|outage| outage.probe_at)
    }

    /// What is away.
    pub(crate) fn why(&self) -> Option<&str> {
        self.open.as_ref().map(|outage| &*outage.why)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// A message was handled: whatever was away is there.
    pub(crate) fn succeeded(&mut self) -> Option<Duration> {
        self.streak.clear();
        self.open.take().map(|outage| outage.since.elapsed())
    }

    /// Something is away: waits, longer each time; answers for how long.
    pub(crate) fn failed(&mut self, why: &str) -> Duration {
        self.streak.clear();
        let outage = self.open.get_or_insert_with(|| Outage {
            why: why.to_owned(),
            since: Instant::now(),
            backoff: Backoff::default(),
            probe_at: Instant::now(),
        });
        why.clone_into(&mut outage.why);
        // Others that were in hand when it began say nothing new.
        if let Some(left) = outage.probe_at.checked_duration_since(Instant::now())
            && !left.is_zero()
        {
            return left;
        }
        let wait = outage.backoff.failed();
        outage.probe_at = Instant::now() + wait;
        wait
    }

    /// A message failed for a reason that may lie elsewhere. When it does, answers those that failed
    /// before for the same reason, whose attempts are to be given back. One that fails for the last
    /// time is none of these: where it is no outage, it is given up.
    pub(crate) fn suspect(
        &mut self,
        failed: Failed,
        fingerprint: &str,
        is_last: bool,
    ) -> Option<Vec<Failed>> {
        if let Some(outage) = &self.open {
            if text_fingerprint(&outage.why) == fingerprint {
                return Some(Vec::new());
            }
            // The probe fails in its own way, so what was away let it come so far.
            self.open = None;
        }
        if self.fingerprint != fingerprint {
            self.streak.clear();
            fingerprint.clone_into(&mut self.fingerprint);
        }
        let is_new = self.streak.iter().all(|before| before.who != failed.who);
        if is_new && self.keys() + 1 >= KEYS_IN_A_ROW {
            return Some(std::mem::take(&mut self.streak));
        }
        let place = (failed.partition, failed.offset);
        if is_last {
            self.streak.retain(|before| (before.partition, before.offset) != place);
            return None;
        }
        let is_known = self.streak.iter().any(|before| (before.partition, before.offset) == place);
        if !is_known && self.streak.len() < STREAK_MAX {
            self.streak.push(failed);
        }
        None
    }

    /// How many different keys have failed in a row.
    fn keys(&self) -> usize {
        let mut keys = Vec::new();
        for Failed { who, .. } in &self.streak {
            if !keys.contains(&who) {
                keys.push(who);
            }
        }
        keys.len()
    }
}

impl Failed {
    pub(crate) fn new(
        (partition, offset): Place,
        attempt: u32,
        key: Option<&Key>,
        id: MessageId,
    ) -> Self {
        let who = key.map_or(Who::Message(id), |key| Who::Key(key.clone()));
        Self { partition, offset, attempt, who }
    }
}

//! Handlers without a transaction: many at a time, one of each key.

use super::call::call;
use super::ending::Away;
use super::engine::Engine;
use super::fate::Failure;
use super::item::Item;
use crate::handler::Handler;
use consign_core::{Driver, Fate, QueueLedger, Result};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Handlers that run when the end is asked for may go on for so long; then they are done again.
const GRACE: Duration = Duration::from_secs(5);
/// Messages of a call that takes several, at most.
const BATCH_MAX: usize = 100;

/// The calls that run.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    running: JoinSet<Job>,
    /// When the last one ended, or the first one began.
    moved: Option<Instant>,
    /// What runs now runs alone, since it may kill the process; or it waits until it can, and nothing
    /// else begins.
    is_suspect: bool,
}

/// A call that has ended.
#[derive(Debug)]
pub(super) struct Job {
    items: Vec<Item>,
    /// Parts of a batch that failed, to be called one after the other.
    rest: Vec<Vec<Item>>,
    result: Result<(), Failure>,
}

impl Jobs {
    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    /// Calls run, and none of them has ended for longer than one may take.
    pub(super) fn are_late(&self, timeout: Duration) -> bool {
        !self.is_empty() && self.moved.is_some_and(|at| at.elapsed() > timeout)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Waits for a call to end; for ever where none runs.
    ///
    /// # Cancel safety
    /// A call that ended meanwhile is answered by the next one.
    pub(super) async fn ended(&mut self) -> Job {
        match self.running.join_next().await {
            Some(job) => {
                self.moved = Some(Instant::now());
                job.expect("a call catches its panics, and nobody aborts it")
            }
            None => std::future::pending().await,
        }
    }
}

impl<L: QueueLedger, D: Driver, H: Handler<L::Connection>> Engine<L, D, H> {
    /// Calls handlers for what is ready; `false`: there is nothing more to do at once.
    pub(super) async fn start_jobs(&mut self) -> Result<bool> {
        if self.jobs.is_empty() {
            self.jobs.is_suspect = false;
        }
        while self.jobs.len() < self.concurrency() && !self.jobs.is_suspect {
            let Some(item) = self.next() else { break };
            if !item.is_suspect {
                let items = self.gather(item);
                self.start(items, Vec::new());
                continue;
            }
            if !self.jobs.is_empty() {
                self.jobs.is_suspect = true;
                self.come_first(item);
                break;
            }
            if let Some(item) = self.worth_it(item).await? {
                self.jobs.is_suspect = true;
                self.start(vec![item], Vec::new());
            }
        }
        Ok(false)
    }

    /// With a handler that takes several messages: those that may go with this one.
    fn gather(&mut self, first: Item) -> Vec<Item> {
        let most = if H::FORM.batch { self.options.batch_max.min(BATCH_MAX) } else { 1 };
        let mut items = vec![first];
        while items.len() < most && !items[items.len() - 1].is_again && self.limits.may_take() {
            let last = items.len() - 1;
            if items[last].leads
                && let Some(behind) = self.holding.next_behind(&items[last])
            {
                // The lane goes on when the last of its messages is at its end.
                if let Some(behind) = self.take_in_time(Item { leads: false, ..behind }) {
                    items[last].leads = false;
                    items.push(Item { leads: true, ..behind });
                }
            } else if let Some(next) = self.holding.next() {
                items.extend(self.take_in_time(next));
            } else {
                break;
            }
        }
        items
    }

    fn start(&mut self, items: Vec<Item>, rest: Vec<Vec<Item>>) {
        if self.jobs.is_empty() {
            self.jobs.moved = Some(Instant::now());
        }
        let handler = Arc::clone(&self.handler);
        let at = (self.shared.ledger.now(), self.options.timeout);
        self.jobs.running.spawn(async move {
            let result = call::<L::Connection, H>(&*handler, &items, None, at).await;
            Job { items, rest, result }
        });
    }

    /// What follows a call.
    pub(super) fn job_ended(&mut self, Job { mut items, mut rest, result }: Job) {
        match result {
            Ok(()) => self.all_succeeded(&items),
            Err(_) if items.len() > 1 => {
                rest.insert(0, items.split_off(items.len() / 2));
                rest.insert(0, items);
            }
            Err(failure) => match self.judge(&items[0], failure) {
                Ok(fate) => self.failed(&items[0], fate),
                Err(away) => {
                    let all = items.into_iter().chain(rest.drain(..).flatten());
                    self.all_away(all.collect(), away);
                }
            },
        }
        self.go_on_with(rest);
    }

    fn all_succeeded(&mut self, items: &[Item]) {
        for item in items {
            self.succeeded(item);
        }
    }

    /// The rest of a batch, without those whose key is parked since.
    fn go_on_with(&mut self, mut rest: Vec<Vec<Item>>) {
        while !rest.is_empty() {
            // What has another owner by now, or soon, is his to begin.
            let held = |item: &Item| self.holding.holds(item);
            let (items, lost) = rest.remove(0).into_iter().partition::<Vec<_>, _>(held);
            for item in &lost {
                self.holding.drop_unstarted(item);
            }
            let parked = |item: &Item| self.holding.is_parked(item);
            let (parked, items) = items.into_iter().partition::<Vec<_>, _>(parked);
            for item in parked {
                self.holding.end(&item, Some(Fate::Parked));
                self.holding.go_on(&item);
            }
            let blocked = |item: &Item| self.holding.is_blocked(item);
            let (blocked, items) = items.into_iter().partition::<Vec<_>, _>(blocked);
            for item in blocked {
                self.holding.put_behind(item);
            }
            if !items.is_empty() {
                return self.start(items, rest);
            }
        }
    }

    fn all_away(&mut self, mut items: Vec<Item>, away: Away) {
        if items.len() == 1 {
            // Another one probes next.
            self.give_attempt_back(&items[0]);
            self.hand_back(items.remove(0));
            return self.is_away(away);
        }
        let mut lanes = HashSet::new();
        // Of each lane the last one holds it; the first one is what has to come next.
        for mut item in items.into_iter().rev() {
            item.leads = self.holding.lane(&item).is_none_or(|lane| lanes.insert(lane));
            self.holding.put_first(item);
        }
        self.is_away(away);
    }

    /// Waits for what runs, for a while.
    pub(super) async fn finish_jobs(&mut self) {
        let until = Instant::now() + GRACE;
        while !self.jobs.is_empty() {
            let Ok(job) = tokio::time::timeout_at(until, self.jobs.ended()).await else { break };
            let Job { items, result, .. } = job;
            match result {
                Ok(()) => self.all_succeeded(&items),
                Err(failure) if items.len() == 1 => match self.judge(&items[0], failure) {
                    Ok(fate) => self.failed(&items[0], fate),
                    Err(_) => self.give_attempt_back(&items[0]),
                },
                Err(_) => {}
            }
        }
        self.jobs.running.abort_all();
    }
}

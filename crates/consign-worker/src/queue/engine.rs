//! One queue at work: owns partitions, reads ahead, calls handlers, settles.

use super::Named;
use super::ending::SETTLE;
use super::fate::Policy;
use super::holding::Holding;
use super::item::Item;
use super::jobs::Jobs;
use super::lanes::Place;
use super::limits::Limits;
use super::outage::Outages;
use super::retries::{DUE_MAX, Retries};
use super::stretch::Stretch;
use crate::backoff::Backoff;
use crate::handler::Handler;
use crate::kinds;
use crate::ownership::LOOK_EVERY;
use crate::poll::{Ask, Judgement, Poll};
use crate::queue_builder::QueueOptions;
use crate::standstill::{Causes, Standstills};
use crate::subscription::Shared;
use consign_core::{
    Changes, Driver, Envelope, Message, Purpose, QueueLedger, Result, Standing, Topic, Waiting,
    WorkerId,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The log is looked at once in this while even if nothing tells of a change.
const READ_AT_LEAST: Duration = Duration::from_secs(1);

pub(crate) struct Engine<L: QueueLedger, D, H> {
    pub(super) subject: Named,
    pub(super) handler: Arc<H>,
    pub(super) options: QueueOptions,
    pub(super) policy: Policy,
    pub(super) shared: Shared<L, D>,
    pub(super) holding: Holding,
    pub(super) retries: Retries,
    pub(super) outages: Outages,
    pub(super) limits: Limits,
    pub(super) jobs: Jobs,
    /// With [`Order::Block`]: messages that failed, and when each is tried again.
    pub(super) blocked: Vec<(Instant, Item)>,
    /// Messages that failed after they had written: each is run in a savepoint of its own.
    pub(super) apart: HashSet<Place>,
    pub(super) stretch: Stretch,
    /// Messages that broke more than their savepoint: each is run in a transaction of its own.
    pub(super) alone: HashSet<Place>,
    /// Messages of the next group, or of the next batch, at most; fewer after one failed.
    pub(super) group_max: usize,
    pub(super) standstills: Standstills,
    pub(super) random: fastrand::Rng,
    pub(super) named: Arc<[String]>,
    pub(super) me: WorkerId,
    pub(super) is_paused: bool,
    /// The read model is to be built anew.
    pub(super) is_building: bool,
    pub(super) is_turn_of_log: bool,
    pub(super) looked: Option<Instant>,
    read: Instant,
    pub(super) unsettled: Option<Instant>,
}

impl<L: QueueLedger, D: Driver, H: Handler<L::Connection>> Engine<L, D, H> {
    pub(super) fn new(
        subject: Named,
        handler: Arc<H>,
        options: QueueOptions,
        shared: Shared<L, D>,
    ) -> Self {
        let (me, order) = (*shared.me.borrow(), options.order);
        Self {
            subject,
            handler,
            policy: Policy { retry: options.retry, order },
            options,
            shared,
            holding: Holding::new(order),
            retries: Retries::default(),
            outages: Outages::default(),
            limits: Limits::new(options.rate, options.concurrency_in_all),
            jobs: Jobs::default(),
            blocked: Vec::new(),
            apart: HashSet::new(),
            stretch: Stretch::default(),
            alone: HashSet::new(),
            group_max: usize::MAX,
            standstills: Standstills::default(),
            random: fastrand::Rng::new(),
            named: Arc::default(),
            me,
            is_paused: false,
            is_building: false,
            is_turn_of_log: false,
            looked: None,
            read: Instant::now(),
            unsettled: None,
        }
    }

    /// What its transactions are begun for.
    pub(super) const PURPOSE: Purpose = match (H::FORM.tx, H::IS_PROJECTION) {
        (true, true) => Purpose::Projection,
        (true, false) => Purpose::Handlers,
        (false, _) => Purpose::Marks,
    };

    /// Works until the end is asked for, or until its read model is to be built anew; then finishes
    /// what is in hand and hands everything over.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        while !self.is_over() {
            let Err(error) = self.work().await else { break };
            let wait = backoff.failed();
            let subscription = &self.subject.name;
            tracing::error!(subscription, ?error, "it stands still, and tries again in {wait:?}");
            self.stands_still(Causes::from([(Standing::All, error.to_string())])).await;
            self.shared.sleep(wait).await;
        }
        self.leave().await;
    }

    async fn work(&mut self) -> Result {
        self.place().await?;
        let topic = Topic::new(H::Message::TOPIC)?;
        let reader = self.shared.driver.reader(&topic).await?;
        let ledger = Arc::clone(&self.shared.ledger);
        let mut poll = Poll::start(reader, kinds::sort::<H::Message>, move || ledger.now());
        self.holding.changed();
        let mut changes = self.shared.driver.changes();
        let mut backoff = Backoff::default();
        while !self.is_over() {
            match self.step(&mut poll, &mut changes).await {
                Ok(()) => backoff = Backoff::default(),
                Err(error) if poll.is_over() => return Err(error),
                Err(error) => {
                    let wait = backoff.failed();
                    let subscription = &self.subject.name;
                    tracing::warn!(subscription, ?error, "a step failed, again in {wait:?}");
                    self.shared.sleep(wait).await;
                }
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.is_building || self.shared.stop.is_asked()
    }

    async fn step(&mut self, poll: &mut Poll<Envelope>, changes: &mut Changes) -> Result {
        if !poll.is_late() && !self.jobs.are_late(self.options.timeout) {
            self.shared.pulse.beat();
        }
        let stop = self.shared.stop.clone();
        stop.grace(self.own()).await?;
        if self.is_building {
            return Ok(());
        }
        self.read_ahead(poll)?;
        self.find_due().await?;
        let is_busy = if H::FORM.tx { self.group().await? } else { self.start_jobs().await? };
        if !self.is_paused && self.has_ready() {
            self.limits.note(self.jobs.len());
        }
        self.settle_in_time().await?;
        if is_busy {
            return Ok(());
        }
        self.wait(poll, changes).await
    }

    /// How many handlers may be called now.
    pub(super) fn concurrency(&self) -> usize {
        let most = self.options.concurrency.min(self.limits.calls());
        if self.is_paused { 0 } else { self.outages.concurrency(most) }
    }

    fn read_ahead(&mut self, poll: &mut Poll<Envelope>) -> Result {
        if let Some(answer) = poll.try_answer() {
            self.take_answer(answer)?;
        }
        if poll.is_asked() {
            return Ok(());
        }
        if self.read.elapsed() > READ_AT_LEAST {
            self.holding.changed();
        }
        let requests = self.holding.wanted();
        if !requests.is_empty() {
            self.read = Instant::now();
            poll.ask(Ask { requests, named: Arc::clone(&self.named) });
        }
        Ok(())
    }

    fn take_answer(&mut self, answer: Result<Vec<Judgement<Envelope>>>) -> Result {
        let answer = answer.inspect_err(|_| self.holding.changed())?;
        for judgement in answer {
            if let Some((partition, why)) = self.holding.read(judgement) {
                let (subscription, partition) = (&self.subject.name, partition.0);
                tracing::error!(subscription, partition, "it waits: {why}");
            }
        }
        Ok(())
    }

    /// Messages may be taken, unless others are in the way.
    fn has_ready(&self) -> bool {
        self.holding.has_ready() || self.retries.has_ready()
    }

    async fn find_due(&mut self) -> Result {
        if self.concurrency() == 0 || !self.retries.is_wanted(self.shared.ledger.now()) {
            return Ok(());
        }
        // What has ended, and is not written, would be found once more.
        self.settle().await?;
        let ledger = &*self.shared.ledger;
        let owned = self.holding.staying();
        let partitions = owned.iter().map(|(partition, _)| *partition).collect::<Vec<_>>();
        let mut due = ledger.due(self.subject.of, &partitions, DUE_MAX).await?;
        // What others wait for is in hand, whatever its row says.
        let is_in_hand = |waiting: &Waiting| {
            let place = (waiting.partition, waiting.offset);
            self.blocked.iter().any(|(_, item)| item.place() == place)
        };
        due.chains.retain(|chain| !chain.first().is_some_and(is_in_hand));
        self.retries.found(due, &owned);
        Ok(())
    }

    /// The next message, of whatever waits.
    pub(super) fn next_of_all(&mut self) -> Option<Item> {
        let now = Instant::now();
        self.drop_blocked();
        let holding = &self.holding;
        let comes = |(at, item): &(Instant, Item)| *at <= now && !holding.comes_later(item);
        if let Some(index) = self.blocked.iter().position(comes) {
            return Some(self.blocked.swap_remove(index).1);
        }
        // In turn, so that many that wait do not hold up what is new.
        self.is_turn_of_log = !self.is_turn_of_log;
        if self.is_turn_of_log
            && let Some(item) = self.holding.next()
        {
            return Some(item);
        }
        self.retries.next(&mut self.holding).or_else(|| self.holding.next())
    }

    /// Standing for whatever comes first.
    async fn wait(&mut self, poll: &mut Poll<Envelope>, changes: &mut Changes) -> Result {
        let until = self.wake_at();
        tokio::select! {
            biased;
            () = self.shared.stop.asked() => Ok(()),
            answer = poll.answer() => self.take_answer(answer),
            job = self.jobs.ended() => {
                self.job_ended(job);
                Ok(())
            }
            () = changes.next() => {
                self.holding.changed();
                Ok(())
            }
            () = tokio::time::sleep_until(until) => Ok(()),
        }
    }

    fn wake_at(&mut self) -> Instant {
        let now = Instant::now();
        let look = self.looked.map_or(now, |at| at + LOOK_EVERY);
        let settle = self.unsettled.map(|since| since + SETTLE.0);
        let ledger = &*self.shared.ledger;
        let due = self
            .retries
            .next_due()
            .map(|due| now + due.duration_since(ledger.now()).unwrap_or_default());
        let blocked = self.blocked.iter().map(|(at, _)| *at).min();
        let limit = if self.has_ready() { self.limits.next_at() } else { None };
        let others =
            [settle, due, blocked, limit, self.outages.probe_at(), self.holding.next_look()];
        others.into_iter().flatten().filter(|at| *at > now).chain([look]).min().unwrap_or(look)
    }
}

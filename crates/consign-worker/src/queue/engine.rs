//! One queue at work: owns partitions, reads ahead, calls handlers, settles.

use super::Named;
use super::fate::{Failure, Policy, is_outage, text};
use super::holding::Holding;
use super::item::Item;
use super::jobs::Jobs;
use super::lanes::Place;
use super::outage::Outages;
use super::retries::{DUE_MAX, Retries};
use crate::backoff::Backoff;
use crate::handler::Handler;
use crate::kinds;
use crate::ownership::{Plan, plan};
use crate::poll::{Ask, Judgement, Poll};
use crate::queue_builder::QueueOptions;
use crate::subscription::Shared;
use consign_core::{
    Changes, Driver, Envelope, Fate, Message, Order, Progress, Purpose, QueueLedger, Result,
    Settled, Topic, WorkerId,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often a process looks who is there, and what is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The log is looked at once in this while even if nothing tells of a change.
const READ_AT_LEAST: Duration = Duration::from_secs(1);
/// Messages that ended are settled after this long, or when there are so many, or when nothing else
/// is to be done.
const SETTLE: (Duration, usize) = (Duration::from_millis(50), 100);

pub(crate) struct Engine<L: QueueLedger, D, H> {
    pub(super) subject: Named,
    pub(super) handler: Arc<H>,
    pub(super) options: QueueOptions,
    pub(super) policy: Policy,
    pub(super) shared: Shared<L, D>,
    pub(super) holding: Holding,
    pub(super) retries: Retries,
    pub(super) outages: Outages,
    pub(super) jobs: Jobs,
    /// With [`Order::Block`]: messages that failed, and when each is tried again.
    pub(super) blocked: Vec<(Instant, Item)>,
    /// Messages that broke a group: each is run in a transaction of its own.
    pub(super) alone: HashSet<Place>,
    /// Messages of the next group, or of the next batch, at most; fewer after one failed.
    pub(super) group_max: usize,
    random: fastrand::Rng,
    named: Arc<[String]>,
    me: WorkerId,
    is_paused: bool,
    looked: Option<Instant>,
    read: Instant,
    unsettled: Option<Instant>,
}

/// Something is away that the handlers need.
pub(super) struct Away(pub(super) String);

impl<L: QueueLedger, D: Driver, H: Handler<L::Connection>> Engine<L, D, H> {
    pub(super) fn new(
        subject: Named,
        handler: H,
        options: QueueOptions,
        shared: Shared<L, D>,
    ) -> Self {
        let (me, order) = (*shared.me.borrow(), options.order);
        Self {
            subject,
            handler: Arc::new(handler),
            policy: Policy { retry: options.retry, order },
            options,
            shared,
            holding: Holding::new(order),
            retries: Retries::default(),
            outages: Outages::default(),
            jobs: Jobs::default(),
            blocked: Vec::new(),
            alone: HashSet::new(),
            group_max: usize::MAX,
            random: fastrand::Rng::new(),
            named: Arc::default(),
            me,
            is_paused: false,
            looked: None,
            read: Instant::now(),
            unsettled: None,
        }
    }

    /// Works until the end is asked for, then finishes what is in hand and hands everything over.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        while !self.shared.stop.is_asked() {
            let Err(error) = self.work().await else { break };
            let wait = backoff.failed();
            let subscription = &self.subject.name;
            tracing::error!(subscription, ?error, "it stands still, and tries again in {wait:?}");
            self.sleep(wait).await;
        }
        self.leave().await;
    }

    async fn work(&mut self) -> Result {
        self.place().await?;
        let topic = Topic::new(H::Message::TOPIC)?;
        let reader = self.shared.driver.reader(&topic).await?;
        let mut poll = Poll::start(reader, kinds::sort::<H::Message>);
        self.holding.changed();
        let mut changes = self.shared.driver.changes();
        let mut backoff = Backoff::default();
        while !self.shared.stop.is_asked() {
            match self.step(&mut poll, &mut changes).await {
                Ok(()) => backoff = Backoff::default(),
                Err(error) if poll.is_over() => return Err(error),
                Err(error) => {
                    let wait = backoff.failed();
                    let subscription = &self.subject.name;
                    tracing::warn!(subscription, ?error, "a step failed, again in {wait:?}");
                    self.sleep(wait).await;
                }
            }
        }
        Ok(())
    }

    /// Places the first cursors: at the log's end, or at its start.
    async fn place(&mut self) -> Result {
        let (ledger, of) = (&*self.shared.ledger, self.subject.of);
        let mut tx = self.shared.stop.grace(ledger.begin(of)).await?;
        if ledger.progress(&mut tx, of).await? != Progress::New {
            ledger.rollback(tx).await;
            return Ok(());
        }
        let ends =
            if self.options.from_start { Vec::new() } else { ledger.ends(&mut tx, of).await? };
        ledger.place(&mut tx, of, &ends, &Progress::Running).await?;
        ledger.commit(tx).await
    }

    async fn step(&mut self, poll: &mut Poll<Envelope>, changes: &mut Changes) -> Result {
        let stop = self.shared.stop.clone();
        stop.grace(self.own()).await?;
        self.read_ahead(poll)?;
        self.find_due().await?;
        let is_busy = if H::FORM.tx { self.group().await? } else { self.start_jobs().await? };
        self.settle_in_time().await?;
        if is_busy {
            return Ok(());
        }
        self.wait(poll, changes).await
    }

    /// How many handlers may be called now.
    pub(super) fn concurrency(&self) -> usize {
        if self.is_paused { 0 } else { self.outages.concurrency(self.options.concurrency) }
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

    async fn find_due(&mut self) -> Result {
        if self.concurrency() == 0 || !self.retries.is_wanted(self.shared.ledger.now()) {
            return Ok(());
        }
        // What has ended, and is not written, would be found once more.
        self.settle().await?;
        let ledger = &*self.shared.ledger;
        let owned = self.holding.staying();
        let partitions = owned.iter().map(|(partition, _)| *partition).collect::<Vec<_>>();
        let due = ledger.due(self.subject.of, &partitions, DUE_MAX).await?;
        self.retries.found(due, &owned);
        Ok(())
    }

    /// The next message for a handler.
    pub(super) fn next(&mut self) -> Option<Item> {
        let now = Instant::now();
        if let Some(index) = self.blocked.iter().position(|(at, _)| *at <= now) {
            return Some(self.blocked.swap_remove(index).1);
        }
        self.retries.next(&mut self.holding).or_else(|| self.holding.next())
    }

    /// What becomes of a message whose handler failed; an error: it is not to blame.
    pub(super) fn judge(&mut self, item: &Item, failure: Failure) -> Result<Fate, Away> {
        let ledger = &*self.shared.ledger;
        if let Some(error) = failure.error()
            && is_outage(&ledger.fault(error))
        {
            return Err(Away(text(error)));
        }
        let fingerprint = failure.fingerprint();
        let (now, jitter) = (ledger.now(), self.random.f64());
        let fate = self.policy.fate(item.attempt, failure, now, jitter);
        if let (Some(fingerprint), Fate::Retry { error, .. }) = (fingerprint, &fate)
            && let Some(others) = self.outages.suspect(item.failed(), &fingerprint)
        {
            for failed in others {
                self.holding.give_back(&failed, now, self.policy.order.parks());
            }
            return Err(Away(error.clone()));
        }
        Ok(fate)
    }

    /// Nobody's handler is called for a while.
    pub(super) fn is_away(&mut self, Away(why): Away) {
        let is_new = !self.outages.is_open();
        let wait = self.outages.failed(&why);
        let subscription = &self.subject.name;
        if is_new {
            tracing::error!(subscription, "it pauses, and counts no attempt: {why}");
        } else {
            tracing::warn!(subscription, "still away, one message tries again in {wait:?}: {why}");
        }
    }

    /// A message was applied.
    pub(super) fn succeeded(&mut self, item: &Item) {
        self.holding.end(item, None);
        self.holding.go_on(item);
        self.retries.succeeded(item);
        self.alone.remove(&item.place());
        if let Some(outage) = self.outages.succeeded() {
            let subscription = &self.subject.name;
            tracing::info!(subscription, "it goes on after {outage:?}");
        }
    }

    /// A message was not applied, and this becomes of it.
    pub(super) fn failed(&mut self, item: &Item, fate: Fate) {
        let (subscription, id) = (&self.subject.name, item.envelope.id);
        match &fate {
            Fate::Dead { error, attempts, .. } => {
                tracing::error!(subscription, %id, attempts, "a dead letter: {error}");
            }
            fate => tracing::debug!(subscription, %id, ?fate, "a message was not applied"),
        }
        self.alone.remove(&item.place());
        if let (Order::Block, Fate::Retry { attempt, due, .. }) = (self.policy.order, &fate) {
            let wait = due.duration_since(self.shared.ledger.now()).unwrap_or_default();
            let item = Item { attempt: *attempt, ..item.clone() };
            return self.blocked.push((Instant::now() + wait, item));
        }
        self.holding.end(item, Some(fate));
        self.holding.go_on(item);
        self.retries.ended(item);
    }

    pub(super) fn named(&self) -> &[String] {
        &self.named
    }

    /// A message was not run after all: it comes again, after others where its order allows it.
    pub(super) fn back(&mut self, item: Item) {
        if item.is_again || item.leads {
            self.hand_back(item);
        } else {
            self.holding.put_first(item);
        }
    }

    /// A message was not run after all: it comes again, after what else is ready.
    pub(super) fn hand_back(&mut self, item: Item) {
        self.retries.ended(&item);
        self.holding.hand_back(item);
    }

    /// Before a message is run that may have killed its process, its attempt is stored; `false`:
    /// it is given up.
    pub(super) async fn is_worth_it(&mut self, item: &Item) -> Result<bool> {
        let fate = self.policy.suspect(item, self.shared.ledger.now());
        if matches!(fate, Fate::Dead { .. }) {
            self.failed(item, fate);
            return Ok(false);
        }
        self.holding.note(item, fate);
        self.settle().await?;
        Ok(true)
    }

    async fn settle_in_time(&mut self) -> Result {
        let unsettled = self.holding.unsettled();
        if unsettled == 0 {
            self.unsettled = None;
            return Ok(());
        }
        let since = *self.unsettled.get_or_insert_with(Instant::now);
        let (after, most) = SETTLE;
        if H::FORM.tx || unsettled >= most || since.elapsed() >= after || self.is_idle() {
            self.settle().await?;
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.holding.is_idle() && self.retries.is_idle()
    }

    /// Writes what ended, in a transaction of its own.
    pub(super) async fn settle(&mut self) -> Result {
        let settlement = self.holding.settlement();
        if settlement.is_empty() {
            self.holding.settled(&settlement, &[]);
            return Ok(());
        }
        let ledger = Arc::clone(&self.shared.ledger);
        let purpose = if H::FORM.tx { Purpose::Handlers } else { Purpose::Marks };
        let begun = ledger.begin_for(self.subject.of, purpose);
        let mut tx = self.shared.stop.grace(begun).await?;
        let settled = ledger.settle(&mut tx, self.subject.of, &settlement, &self.named).await?;
        if let Settled::All(unparked) = settled {
            ledger.commit(tx).await?;
            self.unsettled = None;
            self.holding.settled(&settlement, &unparked);
            self.retries.settled(&settlement);
            return Ok(());
        }
        ledger.rollback(tx).await;
        self.not_settled(settled);
        Ok(())
    }

    /// Another owner, or other kinds: nothing of the transaction stands.
    pub(super) fn not_settled(&mut self, settled: Settled) {
        match settled {
            Settled::All(_) => {}
            Settled::Fenced(partitions) => {
                let subscription = &self.subject.name;
                tracing::info!(subscription, ?partitions, "fenced: they have a new owner");
                self.holding.remove(&partitions);
            }
            Settled::Kinds(named) => {
                self.named = named.into();
                self.holding.read_all_again();
            }
        }
    }

    /// Looks who is there and what is asked for, now and then, and sees to an even share.
    async fn own(&mut self) -> Result {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let me = *self.shared.me.borrow();
        if std::mem::replace(&mut self.me, me) != me {
            let all = self.holding.partitions().collect::<Vec<_>>();
            self.holding.remove(&all);
        }
        let (ledger, of) = (Arc::clone(&self.shared.ledger), self.subject.of);
        let members = ledger.members(of).await?;
        if *members.kinds != *self.named {
            self.named = members.kinds.clone().into();
            self.holding.read_all_again();
        }
        self.is_paused = members.is_paused;
        let mine = self.holding.staying();
        if members.is_asked {
            let changed = ledger.execute(of, &mine).await?;
            for found in ledger.unfinished(of, &changed).await? {
                self.holding.set_parked(found.partition, found.parked);
            }
            self.retries.look();
        }
        let mine = self.holding.partitions().collect::<Vec<_>>();
        let Plan { lost, release, take } = plan(&members, me, &mine);
        self.holding.remove(&lost);
        self.holding.leave(&release);
        let holding = &mut self.holding;
        self.blocked.retain(|(_, item)| {
            let is_leaving = holding.is_leaving(item.partition);
            if is_leaving {
                holding.let_go(item);
            }
            !is_leaving
        });
        self.hand_over().await?;
        if !take.is_empty() {
            self.take(&take).await?;
        }
        Ok(())
    }

    /// Hands over what leaves, once nothing of it is in hand.
    async fn hand_over(&mut self) -> Result {
        let left = self.holding.left();
        if left.is_empty() {
            return Ok(());
        }
        self.settle().await?;
        self.shared.ledger.release(self.subject.of, &left).await?;
        self.holding.remove(&left);
        Ok(())
    }

    async fn take(&mut self, partitions: &[consign_core::Partition]) -> Result {
        let (ledger, of) = (Arc::clone(&self.shared.ledger), self.subject.of);
        let owned = ledger.take(of, partitions).await?;
        let taken = owned.iter().map(|owned| owned.partition).collect::<Vec<_>>();
        let mut unfinished = ledger.unfinished(of, &taken).await?;
        for owned in owned {
            let found = unfinished.iter().position(|found| found.partition == owned.partition);
            let found = found.map(|index| unfinished.swap_remove(index));
            self.holding.add(owned, found.expect("asked for above"));
        }
        self.retries.look();
        Ok(())
    }

    /// Waits for whatever comes first.
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

    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let look = self.looked.map_or(now, |at| at + LOOK_EVERY);
        let settle = self.unsettled.map(|since| since + SETTLE.0);
        let ledger = &*self.shared.ledger;
        let due = self
            .retries
            .next_due()
            .map(|due| now + due.duration_since(ledger.now()).unwrap_or_default());
        let blocked = self.blocked.iter().map(|(at, _)| *at).min();
        let others = [settle, due, blocked, self.outages.probe_at(), self.holding.next_look()];
        others.into_iter().flatten().filter(|at| *at > now).chain([look]).min().unwrap_or(look)
    }

    /// Finishes what is in hand, settles it, and hands everything over.
    async fn leave(&mut self) {
        self.finish_jobs().await;
        if let Err(error) = self.settle().await {
            let subscription = &self.subject.name;
            tracing::warn!(subscription, %error, "what was done last is not marked, and is done again");
        }
        let mine = self.holding.partitions().collect::<Vec<_>>();
        self.holding.remove(&mine);
        let (ledger, stop) = (&self.shared.ledger, &self.shared.stop);
        if !mine.is_empty()
            && let Err(error) = stop.grace(ledger.release(self.subject.of, &mine)).await
        {
            let subscription = &self.subject.name;
            tracing::warn!(subscription, %error, "partitions are not handed over");
        }
    }

    async fn sleep(&mut self, wait: Duration) {
        tokio::select! {
            biased;
            () = self.shared.stop.asked() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

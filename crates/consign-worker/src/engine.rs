//! One subscription at work: owns partitions, reads ahead, applies batch after batch.

use crate::assigned::Assigned;
use crate::backfill::{self, Otherwise};
use crate::backoff::Backoff;
use crate::effect::Subject;
use crate::kinds::judge;
use crate::ownership::{self, LOOK_EVERY, Plan, plan};
use crate::poll::{Ask, Judgement, Poll};
use crate::queue::fate::{Policy, text};
use crate::queue::outage::Outages;
use crate::setback::Waits;
use crate::standstill::{Causes, Standstills};
use crate::subscription::{Options, Shared};
use crate::upkeep::{self, Due};
use consign_core::{
    Changes, Driver, Event, Ledger, Message, Partition, Projection, QueueLedger, Result, Standing,
    Topic, Tx, Upkeep, WorkerId,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The log is looked at once in this while even if nothing tells of a change.
const READ_AT_LEAST: Duration = Duration::from_secs(1);

pub(crate) struct Engine<L: Ledger, D, P: Projection<Tx<L::Connection>>> {
    pub(crate) subject: Subject<P>,
    options: Options,
    pub(crate) policy: Policy,
    pub(crate) shared: Shared<L, D>,
    pub(crate) assigned: Assigned<P::Event>,
    pub(crate) named: Arc<[String]>,
    /// Messages of the next batch, at most; fewer after one failed.
    pub(crate) batch_limit: usize,
    pub(crate) outages: Outages,
    pub(crate) waits: Waits,
    standstills: Standstills,
    pub(crate) random: fastrand::Rng,
    me: WorkerId,
    pub(crate) due: Due,
    is_paused: bool,
    /// The read model is to be built anew.
    is_building: bool,
    looked: Option<Instant>,
    read: Instant,
}

impl<L: QueueLedger, D: Driver, P: Projection<Tx<L::Connection>>> Engine<L, D, P> {
    pub(crate) fn new(subject: Subject<P>, options: Options, shared: Shared<L, D>) -> Self {
        let me = *shared.me.borrow();
        let Options { retry, order, .. } = options;
        Self {
            assigned: Assigned::new(subject.of),
            subject,
            options,
            policy: Policy { retry, order },
            shared,
            named: Arc::default(),
            batch_limit: usize::MAX,
            outages: Outages::default(),
            waits: Waits::default(),
            standstills: Standstills::default(),
            random: fastrand::Rng::new(),
            me,
            due: Due::default(),
            is_paused: false,
            is_building: false,
            looked: None,
            read: Instant::now(),
        }
    }

    /// Works until the end is asked for, then hands its partitions over.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        while !self.shared.stop.is_asked() {
            // Without an error: the end, or a rebuild.
            let Err(error) = self.work().await else { continue };
            let wait = backoff.failed();
            tracing::error!(
                subscription = self.subject.name,
                ?error,
                "it stands still, and tries again in {wait:?}"
            );
            self.stands_still(Causes::from([(Standing::All, error.to_string())])).await;
            self.shared.sleep(wait).await;
        }
        self.hand_all_over().await;
    }

    async fn work(&mut self) -> Result {
        self.is_building = false;
        self.backfill().await;
        if self.shared.stop.is_asked() {
            return Ok(());
        }
        let topic = Topic::new(P::Event::TOPIC)?;
        let reader = self.shared.driver.reader(&topic).await?;
        let ledger = Arc::clone(&self.shared.ledger);
        let mut poll = Poll::start(reader, judge::<P::Event>, move || ledger.now());
        self.assigned.changed();
        let mut changes = self.shared.driver.changes();
        let mut backoff = Backoff::default();
        while !self.shared.stop.is_asked() && !self.is_building {
            match self.step(&mut poll, &mut changes).await {
                Ok(()) => backoff = Backoff::default(),
                Err(error) if poll.is_over() => return Err(error),
                Err(error) => {
                    let wait = backoff.failed();
                    tracing::warn!(
                        subscription = self.subject.name,
                        ?error,
                        "a step failed, again in {wait:?}"
                    );
                    self.shared.sleep(wait).await;
                }
            }
        }
        Ok(())
    }

    async fn step(&mut self, poll: &mut Poll<Event<P::Event>>, changes: &mut Changes) -> Result {
        if !poll.is_late() {
            self.shared.pulse.beat();
        }
        let stop = self.shared.stop.clone();
        stop.grace(self.own()).await?;
        if self.is_building {
            return Ok(());
        }
        self.read_ahead(poll)?;
        self.try_again().await?;
        let max = self.shared.ledger.batch_max(self.subject.of).min(self.options.batch_max);
        let taken =
            if self.is_paused { None } else { self.assigned.take(max.min(self.batch_limit)) };
        let idle = taken.is_none();
        if self.due.is_due(idle) {
            self.upkeep().await;
        }
        match taken {
            Some(taken) => self.apply(taken).await,
            None if !self.due.is_due(true) => self.wait(poll, changes).await?,
            None => {}
        }
        Ok(())
    }

    /// Takes what was read, and asks for more.
    fn read_ahead(&mut self, poll: &mut Poll<Event<P::Event>>) -> Result {
        if let Some(answer) = poll.try_answer() {
            self.take_answer(answer)?;
        }
        if poll.is_asked() {
            return Ok(());
        }
        if self.read.elapsed() > READ_AT_LEAST {
            self.assigned.changed();
        }
        let requests = self.assigned.wanted();
        if !requests.is_empty() {
            self.read = Instant::now();
            poll.ask(Ask { requests, named: Arc::clone(&self.named) });
        }
        Ok(())
    }

    fn take_answer(&mut self, answer: Result<Vec<Judgement<Event<P::Event>>>>) -> Result {
        // A page that did not come says nothing of what was published before it was asked for.
        let answer = answer.inspect_err(|_| self.assigned.changed())?;
        for judgement in answer {
            if let Some((partition, why)) = self.assigned.read(judgement) {
                tracing::error!(
                    subscription = self.subject.name,
                    partition = partition.0,
                    "it waits: {why}"
                );
            }
        }
        Ok(())
    }

    /// Waits for the answer, a change, the next look, or the end.
    async fn wait(&mut self, poll: &mut Poll<Event<P::Event>>, changes: &mut Changes) -> Result {
        let now = Instant::now();
        let until = self.looked.map_or(now, |at| at + LOOK_EVERY);
        let ledger = &*self.shared.ledger;
        let due = self.waits.next().and_then(|due| due.duration_since(ledger.now()).ok());
        let others = [self.assigned.next_look(), due.map(|wait| now + wait)];
        // What has passed waits for something else: for a page that is being read, or an outage.
        let others = others.into_iter().flatten().filter(|at| *at > now);
        let until = others.chain([until]).min().unwrap_or(until);
        tokio::select! {
            biased;
            () = self.shared.stop.asked() => Ok(()),
            answer = poll.answer() => self.take_answer(answer),
            () = changes.next() => {
                self.assigned.changed();
                Ok(())
            }
            () = tokio::time::sleep_until(until) => Ok(()),
        }
    }

    async fn upkeep(&mut self) {
        match upkeep::run(&*self.shared.ledger, &self.subject).await {
            Ok(upkeep) => self.due.done(upkeep),
            Err(error) => {
                tracing::warn!(subscription = self.subject.name, ?error, "upkeep comes later");
                self.due.done(Upkeep::Done);
            }
        }
    }

    async fn backfill(&mut self) {
        let mut backoff = Backoff::default();
        while !self.shared.stop.is_asked() {
            let ledger = &*self.shared.ledger;
            match backfill::step(ledger, &self.subject, Otherwise::LogStart).await {
                Ok(true) => return,
                Ok(false) => {
                    backoff = Backoff::default();
                    self.stands_still(Causes::new()).await;
                    self.due.filled();
                    if self.due.is_due(false) {
                        self.upkeep().await;
                    }
                }
                Err(error) => {
                    let wait = backoff.failed();
                    tracing::error!(
                        subscription = self.subject.name,
                        ?error,
                        "the backfill goes on in {wait:?}"
                    );
                    self.stands_still(Causes::from([(Standing::All, text(&error.into()))])).await;
                    self.shared.sleep(wait).await;
                }
            }
        }
    }

    /// Looks who is there, now and then, and sees to an even share.
    async fn own(&mut self) -> Result {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let me = *self.shared.me.borrow();
        if std::mem::replace(&mut self.me, me) != me {
            self.assigned.clear();
            self.standstills.forget();
        }
        self.stands_still(self.causes()).await;
        let ledger = Arc::clone(&self.shared.ledger);
        let members = ledger.members(self.subject.of).await?;
        if *members.kinds != *self.named {
            self.named = members.kinds.clone().into();
            self.assigned.read_all_again();
        }
        self.is_paused = members.is_paused;
        self.is_building = members.is_building;
        if self.is_building {
            self.assigned.clear();
            return Ok(());
        }
        if members.is_asked {
            let owned = self.assigned.owned();
            for found in ownership::execute(&*ledger, self.subject.of, &owned).await? {
                self.assigned.set_parked(found.partition, found.parked);
            }
            self.waits.look();
        }
        let mine = self.assigned.partitions().collect::<Vec<_>>();
        let Plan { lost, release, take } = plan(&members, me, &mine, usize::MAX);
        self.assigned.remove(&lost);
        if !release.is_empty() {
            // In this order: what is not handed over, and not held either, nobody would take.
            ledger.release(self.subject.of, &release).await?;
            self.assigned.remove(&release);
        }
        if !take.is_empty() {
            self.take(&take).await?;
            tracing::debug!(
                subscription = self.subject.name,
                owned = self.assigned.len(),
                "took partitions"
            );
        }
        Ok(())
    }

    fn causes(&self) -> Causes {
        let away = self.outages.why().map(|why| (Standing::All, why.to_owned()));
        let waiting = self.assigned.waiting();
        let waiting =
            waiting.map(|(partition, why)| (Standing::Partition(partition), why.to_owned()));
        away.into_iter().chain(waiting).collect()
    }

    async fn stands_still(&mut self, causes: Causes) {
        let Shared { ledger, stop, .. } = &self.shared;
        self.standstills.keep((&**ledger, self.subject.of, stop), causes).await;
    }

    async fn take(&mut self, partitions: &[Partition]) -> Result {
        let (ledger, of) = (Arc::clone(&self.shared.ledger), self.subject.of);
        for (owned, found) in ownership::take(&*ledger, of, partitions).await? {
            self.assigned.add(owned, found.parked);
        }
        self.waits.look();
        Ok(())
    }

    async fn hand_all_over(&mut self) {
        let mine = self.assigned.partitions().collect::<Vec<_>>();
        self.assigned.clear();
        let Shared { ledger, stop, .. } = &self.shared;
        if !mine.is_empty()
            && let Err(error) = stop.grace(ledger.release(self.subject.of, &mine)).await
        {
            tracing::warn!(subscription = self.subject.name, %error, "partitions are not handed over");
        }
    }
}

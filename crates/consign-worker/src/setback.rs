//! What a stream does when messages fail: halves the batch, puts one aside, tries it again later.

use crate::assigned::Taken;
use crate::effect::{self, Entry, Outcome};
use crate::engine::Engine;
use crate::queue::fate::{Failure, is_outage, text};
use crate::queue::item::Item;
use crate::queue::judge::{Blameless, judge};
use crate::queue::outage::Failed;
use consign_core::{
    Advance, Delivery, Driver, Event, Fate, Key, Offset, Order, Partition, Projection, QueueLedger,
    Result, Settle, Tx, Verdict,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// Keys whose messages are tried again in one go, and messages of each.
const DUE_MAX: usize = 100;

/// Something is away that the projection needs.
struct Away(String);

/// A message that a batch passes without its effect, and what becomes of it.
type Aside = ((Partition, Offset), Fate);

/// A message that failed alone.
pub(crate) struct Single {
    pub(crate) place: (Partition, Offset),
    pub(crate) delivery: Delivery,
}

/// When messages that wait are looked at.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    next: Option<SystemTime>,
    look: bool,
}

impl Waits {
    pub(crate) fn look(&mut self) {
        self.look = true;
    }

    pub(crate) fn next(&self) -> Option<SystemTime> {
        self.next
    }

    fn is_due(&self, now: SystemTime) -> bool {
        self.look || self.next.is_some_and(|next| next <= now)
    }

    fn put_off(&mut self, fate: &Fate) {
        match fate {
            Fate::Retry { due, .. } => {
                self.next = Some(self.next.map_or(*due, |next| next.min(*due)));
            }
            _ => self.look = true,
        }
    }
}

/// The moves of a batch, with what it puts aside.
pub(crate) fn settlement(moves: &[Advance], aside: &[Aside]) -> Vec<Settle> {
    let part = |advance: &Advance| {
        let mine = aside.iter().filter(|((partition, _), _)| *partition == advance.partition);
        Settle {
            partition: advance.partition,
            epoch: advance.epoch,
            from: advance.from,
            to: advance.to,
            skipped: advance.skipped.clone(),
            marks: Vec::new(),
            aside: mine.map(|((_, offset), fate)| (*offset, fate.clone())).collect(),
            again: Vec::new(),
        }
    };
    moves.iter().map(part).collect()
}

impl<L: QueueLedger, D: Driver, P: Projection<Tx<L::Connection>>> Engine<L, D, P> {
    /// Applies a batch; what waits behind a parked key is put aside with it.
    pub(crate) async fn apply(&mut self, taken: Taken<P::Event>) {
        let Taken { events, moves, parked, last } = taken;
        let count = events.len();
        let single = match (&events[..], last) {
            ([event], Some(place)) => Some(Single { place, delivery: event.delivery.clone() }),
            _ => None,
        };
        let parked = parked.into_iter().map(|place| (place, Fate::Parked)).collect::<Vec<_>>();
        let settle = (!parked.is_empty()).then(|| settlement(&moves, &parked));
        let entry = settle.as_deref().map_or(Entry::Moves(&moves), Entry::Settle);
        let ledger = Arc::clone(&self.shared.ledger);
        let outcome = effect::apply(&*ledger, &self.subject, (events, entry), &self.named).await;
        if !parked.is_empty() {
            self.waits.look();
        }
        match outcome {
            Outcome::Applied(unparked) => self.applied(&moves, count, &unparked),
            Outcome::Failed(verdict) => {
                self.batch_failed((&moves, parked), count, single, verdict).await;
            }
            Outcome::Fenced(partitions) => self.fenced(&moves, &partitions),
            Outcome::Kinds(named) => self.name(named),
        }
    }

    fn applied(&mut self, moves: &[Advance], count: usize, unparked: &[(Partition, Key)]) {
        self.assigned.moved(moves);
        self.assigned.unpark(unparked);
        self.due.applied(count);
        if count > 0 {
            self.batch_limit = self.batch_limit.saturating_mul(2);
            self.went_on();
        }
    }

    fn went_on(&mut self) {
        if let Some(outage) = self.outages.succeeded() {
            tracing::info!(subscription = self.subject.name, "it goes on after {outage:?}");
        }
    }

    fn fenced(&mut self, moves: &[Advance], partitions: &[Partition]) {
        let subscription = &self.subject.name;
        tracing::info!(subscription, ?partitions, "fenced: they have a new owner");
        self.assigned.taken_back(moves);
        self.assigned.remove(partitions);
    }

    /// A batch was rolled back: its parts tell whose doing it was.
    async fn batch_failed(
        &mut self,
        (moves, parked): (&[Advance], Vec<Aside>),
        count: usize,
        single: Option<Single>,
        verdict: Verdict,
    ) {
        let is_away = match &verdict {
            Verdict::Retry(error) => is_outage(&self.shared.ledger.fault(error)),
            _ => false,
        };
        match single {
            _ if is_away || count == 0 => self.in_place(moves, count, &text(&verdict.into_error())),
            None => {
                self.batch_limit = (count / 2).max(1);
                self.assigned.taken_back(moves);
                let (subscription, verdict) = (&self.subject.name, text(&verdict.into_error()));
                tracing::warn!(subscription, "a batch of {count} is applied in parts: {verdict}");
            }
            Some(single) => self.one_failed((moves, parked), single, verdict).await,
        }
    }

    /// Nobody's fault: the same again after a while, and no attempt counts.
    fn in_place(&mut self, moves: &[Advance], count: usize, why: &str) {
        let (wait, failures) = self.assigned.failed(moves, why);
        let subscription = &self.subject.name;
        tracing::error!(
            subscription,
            failures,
            "a batch of {count} messages was rolled back, again in {wait:?}: {why}"
        );
    }

    /// It is put aside, with what the same moves pass since its key is parked.
    async fn one_failed(
        &mut self,
        (moves, mut aside): (&[Advance], Vec<Aside>),
        single: Single,
        verdict: Verdict,
    ) {
        let Single { place, delivery } = single;
        let Delivery { attempt, key, id, .. } = &delivery;
        let failed = Failed::new(place, *attempt, key.as_ref(), *id);
        let fate = match self.judge(failed, verdict).await {
            Ok(fate) => fate,
            Err(Away(why)) => return self.in_place(moves, 1, &why),
        };
        if let (Order::Block, Fate::Retry { error, .. }) = (self.policy.order, &fate) {
            let (_, offset) = place;
            let why = format!("message {offset} ({id}) fails, and others wait for it: {error}");
            return self.in_place(moves, 1, &why);
        }
        aside.push((place, fate.clone()));
        let parts = settlement(moves, &aside);
        match self.settle(&parts).await {
            Outcome::Applied(unparked) => {
                self.assigned.moved(moves);
                self.assigned.unpark(&unparked);
                self.put_aside(place.0, key.clone(), &fate);
            }
            Outcome::Failed(verdict) => self.in_place(moves, 1, &text(&verdict.into_error())),
            Outcome::Fenced(partitions) => self.fenced(moves, &partitions),
            Outcome::Kinds(named) => self.name(named),
        }
    }

    fn put_aside(&mut self, partition: Partition, key: Option<Key>, fate: &Fate) {
        let subscription = &self.subject.name;
        match fate {
            Fate::Dead { error, .. } => tracing::error!(subscription, "a dead letter: {error}"),
            fate => tracing::warn!(subscription, ?fate, "a message was not applied"),
        }
        if let (Some(key), Fate::Retry { parks: true, .. }) = (key, fate) {
            self.assigned.park(partition, key);
        }
        self.waits.put_off(fate);
    }

    /// What becomes of a message; an error: it is not to blame.
    async fn judge(&mut self, failed: Failed, verdict: Verdict) -> Result<Fate, Away> {
        let (ledger, failure) = (Arc::clone(&self.shared.ledger), Failure::Verdict(verdict));
        let by = (&self.policy, &mut self.outages, &mut self.random);
        let Blameless { why, alike } = match judge(&*ledger, by, failed, failure) {
            Ok(fate) => return Ok(fate),
            Err(blameless) => blameless,
        };
        let subscription = &self.subject.name;
        let Some(others) = alike else {
            tracing::error!(subscription, "it pauses: {why}");
            return Err(Away(why));
        };
        self.outages.failed(&why);
        tracing::error!(subscription, "many keys fail alike: {why}");
        self.give_back(others, ledger.now()).await;
        Err(Away(why))
    }

    /// Attempts that an outage has burnt do not count.
    async fn give_back(&mut self, others: Vec<Failed>, due: SystemTime) {
        let mut parts = BTreeMap::<Partition, Settle>::new();
        for Failed { partition, offset, attempt, .. } in others {
            let Some(mut part) = parts.remove(&partition).or_else(|| self.still(partition)) else {
                continue;
            };
            let fate = Fate::Retry {
                attempt,
                due,
                error: "it was an outage".to_owned(),
                parks: self.policy.order.parks(),
                is_suspect: false,
            };
            part.again.push((offset, Some(fate)));
            parts.insert(partition, part);
        }
        let _again_when_they_are_due = self.settle(&parts.into_values().collect::<Vec<_>>()).await;
        self.waits.look();
    }

    /// A settlement that moves no cursor.
    fn still(&self, partition: Partition) -> Option<Settle> {
        let owned = self.assigned.owned();
        let (_, epoch) = *owned.iter().find(|(of, _)| *of == partition)?;
        let from = self.assigned.cursor(partition)?;
        let (skipped, marks, aside, again) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Some(Settle { partition, epoch, from, to: from, skipped, marks, aside, again })
    }

    async fn settle(&mut self, parts: &[Settle]) -> Outcome {
        if parts.is_empty() {
            return Outcome::Applied(Vec::new());
        }
        let ledger = Arc::clone(&self.shared.ledger);
        effect::apply(&*ledger, &self.subject, (Vec::new(), Entry::Settle(parts)), &self.named)
            .await
    }

    /// Tries again what waited, when its time has come.
    pub(crate) async fn try_again(&mut self) -> Result {
        let ledger = Arc::clone(&self.shared.ledger);
        let now = ledger.now();
        let is_away = self.outages.concurrency(1) == 0;
        if is_away || !self.waits.is_due(now) {
            return Ok(());
        }
        let partitions = self.assigned.partitions().collect::<Vec<_>>();
        let due = ledger.due(self.subject.of, &partitions, DUE_MAX).await?;
        self.waits = Waits { next: due.next, look: due.chains.len() >= DUE_MAX };
        let owned = self.assigned.owned();
        for chain in due.chains {
            let epoch = |partition| owned.iter().find(|(of, _)| *of == partition);
            let Some((_, epoch)) = chain.first().and_then(|first| epoch(first.partition)) else {
                continue;
            };
            let chain = chain.into_iter().map(|waiting| Item::again(waiting, *epoch)).collect();
            self.try_chain(chain, now).await;
            if self.outages.is_open() || self.shared.stop.is_asked() {
                break;
            }
        }
        Ok(())
    }

    /// Applies the messages of a key that waited; if they fail together, the first one alone.
    async fn try_chain(&mut self, mut chain: Vec<Item>, now: SystemTime) {
        let partition = chain[0].partition;
        let Some(mut part) = self.still(partition) else { return };
        loop {
            let decoded = chain.iter().map(|item| item.decode::<P::Event>(now));
            let outcome = match decoded.collect::<Result<Vec<Event<P::Event>>, String>>() {
                Err(why) => Outcome::Failed(why.into()),
                Ok(events) => {
                    part.again = chain.iter().map(|item| (item.offset, None)).collect();
                    let entry = Entry::Settle(std::slice::from_ref(&part));
                    let ledger = Arc::clone(&self.shared.ledger);
                    effect::apply(&*ledger, &self.subject, (events, entry), &self.named).await
                }
            };
            match outcome {
                Outcome::Failed(_) if chain.len() > 1 => chain.truncate(1),
                Outcome::Failed(verdict) => {
                    return self.again_failed(&chain[0], part, verdict).await;
                }
                outcome => return self.chain_ended(outcome, chain.len()),
            }
        }
    }

    async fn again_failed(&mut self, item: &Item, mut part: Settle, verdict: Verdict) {
        let fate = match self.judge(item.failed(), verdict).await {
            Ok(fate) => fate,
            Err(Away(why)) => {
                let wait = self.outages.failed(&why);
                tracing::warn!(subscription = self.subject.name, "it tries again in {wait:?}");
                return self.waits.look();
            }
        };
        part.again = vec![(item.offset, Some(fate.clone()))];
        let outcome = self.settle(&[part]).await;
        if let Outcome::Applied(_) = &outcome {
            self.put_aside(item.partition, item.key().cloned(), &fate);
        }
        self.chain_ended(outcome, 0);
    }

    fn chain_ended(&mut self, outcome: Outcome, count: usize) {
        match outcome {
            Outcome::Applied(unparked) => {
                self.assigned.unpark(&unparked);
                self.due.applied(count);
                self.waits.look |= count > 0;
                if count > 0 {
                    self.went_on();
                }
            }
            Outcome::Fenced(partitions) => self.assigned.remove(&partitions),
            Outcome::Kinds(named) => self.name(named),
            Outcome::Failed(verdict) => {
                let why = text(&verdict.into_error());
                let wait = self.outages.failed(&why);
                tracing::warn!(subscription = self.subject.name, "again in {wait:?}: {why}");
                self.waits.look();
            }
        }
    }

    fn name(&mut self, named: Vec<String>) {
        self.named = named.into();
        self.assigned.read_all_again();
    }
}

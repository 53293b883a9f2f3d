//! A tiny system that does everything right: a log, a stream and a queue that read it, workers that
//! are killed and stopped; and what it would have noted.

use consign_test::checker::{
    Counts, CursorRow, Expected, Gate, LedgerRows, Logged, Reader, Scan, Verdict, Witness, check,
};
use consign_test::history::{
    Delivered, End, Event, MessageNumber, Moment, Moved, Place, Publishing, What,
};
use consign_test::{History, Random};
use std::collections::BTreeSet;
use std::time::Duration;

pub(crate) const STREAM: usize = 0;
pub(crate) const QUEUE: usize = 1;
const NAMES: [&str; 2] = ["counter", "mailer"];
const TOPIC: &str = "articles";
const PARTITIONS: usize = 4;
const PUBLISHERS: usize = 3;
const KEYS: usize = 3;
/// Between two effects, so that a test can put one in between.
pub(crate) const N_STEP: u64 = 10;
pub(crate) const DRAINS_WITHIN: Duration = Duration::from_secs(10);

/// A run, as the checker is given it.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) history: History,
    pub(crate) scan: Scan,
    pub(crate) expected: Expected,
}

impl Run {
    /// As many publishes, and everything that follows from them.
    pub(crate) fn of(random: Random, publishes: usize) -> Self {
        let mut model = Model::new(random);
        for _ in 0..publishes {
            model.publish();
            for of in [STREAM, QUEUE] {
                if model.random.coin() {
                    model.work(of, Weather::Stormy);
                }
            }
        }
        model.ended()
    }

    pub(crate) fn judged(&self) -> Verdict {
        check(&self.history, &self.scan, &self.expected)
    }

    pub(crate) fn counts(&mut self, of: usize) -> &mut Counts {
        self.scan.ledgers[of].counts.as_mut().expect("the model counts")
    }

    /// The key of a message.
    pub(crate) fn key(&self, message: MessageNumber) -> String {
        let publishing = |event: &Event| match &event.what {
            What::Publishing(what) if what.message == message => what.key.clone(),
            _ => None,
        };
        self.history.events.iter().find_map(publishing).expect("each has one")
    }

    /// Indexes of one subscription's effects, in their order.
    pub(crate) fn effects(&self, of: usize) -> Vec<usize> {
        let witnesses = self.scan.witnesses.iter().enumerate();
        witnesses.filter(|(_, one)| one.subscription == NAMES[of]).map(|(index, _)| index).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Weather {
    Stormy,
    Calm,
}

/// Who owns a partition, and how far it is.
#[derive(Clone, Default)]
struct Ownership {
    epoch: u64,
    worker: u32,
    next: u64,
    marks: BTreeSet<u64>,
}

struct Model {
    random: Random,
    now: u64,
    messages: u64,
    workers: u32,
    numbers: [u64; PUBLISHERS],
    /// Message and key by partition and offset.
    log: [Vec<(MessageNumber, String)>; PARTITIONS],
    owned: [Vec<Ownership>; 2],
    run: Run,
}

impl Model {
    fn new(mut random: Random) -> Self {
        let seed = u64::try_from(random.below(usize::MAX)).expect("small");
        let ledger = |name: &str| LedgerRows {
            subscription: name.to_owned(),
            counts: Some(Counts::default()),
            ..LedgerRows::default()
        };
        let expected = Expected {
            subscriptions: vec![
                Reader::stream(NAMES[STREAM], TOPIC),
                Reader { attempts_max: Some(2), ..Reader::queue(NAMES[QUEUE], TOPIC) },
            ],
            drains_within: Some(DRAINS_WITHIN),
            ..Expected::default()
        };
        let scan = Scan { ledgers: NAMES.map(ledger).to_vec(), ..Scan::default() };
        let owned = [0, 1].map(|_| vec![Ownership::default(); PARTITIONS]);
        let run = Run { history: History { seed, events: Vec::new() }, scan, expected };
        let (log, numbers) = (Default::default(), [0; PUBLISHERS]);
        Self { random, now: 0, messages: 0, workers: 10, numbers, log, owned, run }
    }

    fn note(&mut self, process: u32, what: What) {
        self.now += 1_000_000;
        self.run.history.events.push(Event { at: Moment(self.now), process, what });
    }

    fn publish(&mut self) {
        let (publisher, key) = (self.random.below(PUBLISHERS), self.random.below(KEYS));
        let partition = (publisher * KEYS + key) % PARTITIONS;
        let key = format!("{publisher}-{key}");
        let message = MessageNumber(self.messages);
        self.messages += 1;
        self.numbers[publisher] += 1;
        let what = Publishing {
            message,
            topic: TOPIC.to_owned(),
            kind: "article.published".to_owned(),
            key: Some(key.clone()),
            publisher: u32::try_from(publisher).expect("small"),
            number: self.numbers[publisher],
            hash: message.0 * 31,
        };
        let process = what.publisher;
        self.note(process, What::Publishing(what));
        match self.random.below(10) {
            0 => self.note(process, What::NotPublished { message }),
            1 => self.note(process, What::PublishUnknown { message }),
            // The publisher died before it was answered.
            2 => drop(self.commit(partition, message, key)),
            3 => {
                self.commit(partition, message, key);
                self.note(process, What::PublishUnknown { message });
            }
            _ => {
                let place = Some(self.commit(partition, message, key));
                self.note(process, What::Published { message, place });
            }
        }
    }

    fn commit(&mut self, partition: usize, message: MessageNumber, key: String) -> Place {
        let place = place(partition, self.log[partition].len());
        self.log[partition].push((message, key));
        let row = Logged { place: place.clone(), message, hash: message.0 * 31 };
        self.run.scan.log.push(row);
        for ledger in &mut self.run.scan.ledgers {
            ledger.counts.as_mut().expect("it counts").accepted += 1;
        }
        place
    }

    /// Handles a message of some partition; answers whether there was one.
    fn work(&mut self, of: usize, weather: Weather) -> bool {
        let has_more =
            |partition: &usize| self.owned[of][*partition].next < self.log[*partition].len() as u64;
        let open: Vec<_> = (0..PARTITIONS).filter(has_more).collect();
        if open.is_empty() {
            return false;
        }
        let partition = open[self.random.below(open.len())];
        if self.owned[of][partition].epoch == 0 {
            self.take(of, partition);
        }
        let next = usize::try_from(self.owned[of][partition].next).expect("small");
        let rows = &self.log[partition];
        let is_free = rows.get(next + 1).is_some_and(|(_, key)| *key != rows[next].1);
        if of == QUEUE && is_free && self.random.coin() {
            self.handle(of, partition, next + 1, weather);
            self.owned[of][partition].marks.insert(next as u64 + 1);
        }
        self.handle(of, partition, next, weather);
        self.advance(of, partition);
        true
    }

    fn handle(&mut self, of: usize, partition: usize, offset: usize, weather: Weather) {
        if self.owned[of][partition].marks.contains(&(offset as u64)) {
            return;
        }
        let message = self.log[partition][offset].0;
        match (weather, self.random.below(12)) {
            (Weather::Stormy, 0) => self.kill(of, partition, offset),
            (Weather::Stormy, 1) => self.stop(of, partition, offset),
            (_, 2) => self.deliver(of, partition, offset, (1, End::Failed)),
            (_, 3) if of == QUEUE => {
                self.deliver(of, partition, offset, (1, End::Failed));
                self.deliver(of, partition, offset, (2, End::Failed));
                self.run.scan.ledgers[of].dead.push(message);
                self.run.counts(of).dead += 1;
                return;
            }
            (_, 4) if of == QUEUE => {
                self.deliver(of, partition, offset, (1, End::Done));
                self.run.scan.ledgers[of].discarded.push(message);
                self.run.counts(of).discarded += 1;
                return;
            }
            _ => {}
        }
        self.deliver(of, partition, offset, (1, End::Done));
        self.effect(of, partition, offset);
    }

    /// Dies with a message in hand.
    fn kill(&mut self, of: usize, partition: usize, offset: usize) {
        self.begin(of, partition, offset, 1);
        self.fault("kill", of, partition);
    }

    /// Is stopped with a message in hand, and goes on too late.
    fn stop(&mut self, of: usize, partition: usize, offset: usize) {
        let Ownership { worker, epoch, .. } = self.owned[of][partition];
        self.begin(of, partition, offset, 1);
        self.fault("stop", of, partition);
        let message = self.log[partition][offset].0;
        let subscription = NAMES[of].to_owned();
        let end = End::Fenced;
        self.note(worker, What::Applied { subscription, message, worker, epoch, end });
    }

    fn fault(&mut self, kind: &str, of: usize, partition: usize) {
        let (kind, target) = (kind.to_owned(), self.owned[of][partition].worker.to_string());
        self.note(0, What::Fault { kind: kind.clone(), target: target.clone() });
        self.take(of, partition);
        self.note(0, What::Healed { kind, target });
    }

    fn take(&mut self, of: usize, partition: usize) {
        self.workers += 1;
        let owned = &mut self.owned[of][partition];
        (owned.epoch, owned.worker) = (owned.epoch + 1, self.workers);
    }

    fn begin(&mut self, of: usize, partition: usize, offset: usize, attempt: u32) {
        let Ownership { worker, epoch, .. } = self.owned[of][partition];
        let (subscription, message) = (NAMES[of].to_owned(), self.log[partition][offset].0);
        let place = place(partition, offset);
        let delivered = Delivered { subscription, message, place, worker, epoch, attempt };
        self.note(worker, What::Delivered(delivered));
    }

    fn deliver(&mut self, of: usize, partition: usize, offset: usize, how: (u32, End)) {
        let Ownership { worker, epoch, .. } = self.owned[of][partition];
        let (subscription, message) = (NAMES[of].to_owned(), self.log[partition][offset].0);
        self.begin(of, partition, offset, how.0);
        let end = how.1;
        self.note(worker, What::Applied { subscription, message, worker, epoch, end });
    }

    fn effect(&mut self, of: usize, partition: usize, offset: usize) {
        let Ownership { worker, epoch, .. } = self.owned[of][partition];
        let (message, key) = self.log[partition][offset].clone();
        let n = (self.run.scan.witnesses.len() as u64 + 1) * N_STEP;
        *self.run.scan.ledgers[of].counters.entry(key.clone()).or_default() += 1;
        self.run.counts(of).applied += 1;
        let (subscription, key) = (NAMES[of].to_owned(), Some(key));
        self.run.scan.witnesses.push(Witness { n, subscription, message, key, epoch, worker });
    }

    fn advance(&mut self, of: usize, partition: usize) {
        let owned = &mut self.owned[of][partition];
        let (from, epoch, worker) = (owned.next, owned.epoch, owned.worker);
        owned.next += 1;
        while owned.marks.remove(&owned.next) {
            owned.next += 1;
        }
        let (subscription, to) = (NAMES[of].to_owned(), owned.next);
        let partition = u16::try_from(partition).expect("small");
        self.note(worker, What::Moved(Moved { subscription, partition, epoch, from, to }));
    }

    /// Drains in calm weather, and reads what is there.
    fn ended(mut self) -> Run {
        for of in [STREAM, QUEUE] {
            while self.work(of, Weather::Calm) {}
            let cursors = self.owned[of].iter().zip(0..);
            let row = |(owned, partition): (&Ownership, u16)| CursorRow {
                partition,
                start: 0,
                next: owned.next,
            };
            self.run.scan.ledgers[of].cursors = cursors.map(row).collect();
        }
        let waited = u64::try_from(2 * DRAINS_WITHIN.as_nanos()).expect("small");
        self.run.scan.at = Moment(self.now + waited);
        self.run
    }
}

fn place(partition: usize, offset: usize) -> Place {
    let partition = u16::try_from(partition).expect("small");
    Place { topic: TOPIC.to_owned(), partition, offset: offset as u64 }
}

/// What a run of some length has surely met.
pub(crate) fn gates() -> Vec<Gate> {
    let kinds = ["kill", "stop"].map(|kind| Gate::Fault(kind.to_owned()));
    let others =
        [Gate::Redelivery, Gate::Fenced, Gate::UnknownAndLogged, Gate::UnknownAndNotLogged];
    kinds.into_iter().chain(others).collect()
}

//! One schedule: a storm, then calm weather until all is done, then what is left is read.

use super::desk::{Desk, TIMEOUT, many, many_outside, one, one_outside};
use super::driver::SimDriver;
use super::ledger::SimLedger;
use super::plan::Plan;
use super::scan::scan;
use super::work::{DONE, OTHER, Script, Work};
use super::world::World;
use super::{Mutant, Outcome};
use crate::Random;
use crate::checker::{Effects, Expected, Order as Kept, Reader};
use crate::history::{History, MessageNumber, Publishing, What};
use consign_core::{Kind, Order, Retry};
use consign_worker::{Queue, Running, Subscribe, Subscription, queue, start, stream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// In calm weather all is done within this.
const DRAINS_WITHIN: Duration = Duration::from_secs(150);
/// Who publishes, in the history.
const PUBLISHER: u32 = 1_000_000;
const ATTEMPTS_MAX: u32 = 4;
const KEYS: usize = 5;

/// What reads the topic in a schedule.
#[derive(Clone, Debug)]
pub(super) struct Reads {
    name: &'static str,
    order: Order,
    from_start: bool,
    concurrency: usize,
    batch_max: usize,
}

const NAMES: [&str; 6] = ["one", "many", "one-outside", "many-outside", "stream", "projection"];

pub(super) async fn run(
    seed: u64,
    plan: impl FnOnce(&mut Random) -> Plan,
    mutant: Option<Mutant>,
) -> Outcome {
    let mut random = Random::of(seed);
    let mut of_world = random.part();
    let plan = plan(&mut of_world);
    let world = Arc::new(World::new(of_world, plan, mutant));
    let readers = readers(&mut random);
    let mut processes = JoinSet::new();
    let mut over = Vec::new();
    for _ in 0..world.plan.processes {
        // Each has one of its own: of those who share one, any may be woken first.
        let (ends, is_over) = watch::channel(false);
        over.push(ends);
        processes.spawn(lives(Arc::clone(&world), readers.clone(), is_over));
    }
    let storm = |kind: &str| (kind.to_owned(), "everybody".to_owned());
    let (kind, target) = storm("storm");
    world.note(PUBLISHER, What::Fault { kind: kind.clone(), target: target.clone() });
    publish(&world, random.part()).await;
    sleep(world.plan.storm.saturating_sub(world.elapsed())).await;
    world.state().heal();
    world.note(PUBLISHER, What::Healed { kind, target });
    world.tell();
    let calm = world.elapsed();
    while world.elapsed() - calm < DRAINS_WITHIN && !is_drained(&world, &readers) {
        sleep(Duration::from_millis(100)).await;
    }
    for ends in &over {
        ends.send_replace(true);
    }
    while processes.join_next().await.is_some() {}
    ended(&world, seed, &readers)
}

fn ended(world: &World, seed: u64, readers: &[Reads]) -> Outcome {
    let fingerprint = world.fingerprint();
    let scan = scan(world);
    let mut state = world.state();
    let events = std::mem::take(&mut state.history);
    let subscriptions = readers.iter().map(Reads::expected).collect();
    let expected =
        Expected { subscriptions, drains_within: Some(DRAINS_WITHIN), ..Expected::default() };
    let dead = state.rows.dead.len() as u64;
    *state.met.entry("a dead letter").or_default() += dead;
    Outcome {
        drawn: format!("{readers:?} {:?}", world.plan),
        history: History { seed, events },
        scan,
        expected,
        met: std::mem::take(&mut state.met),
        complaints: std::mem::take(&mut state.complaints),
        fingerprint,
    }
}

fn readers(random: &mut Random) -> Vec<Reads> {
    let mut names = NAMES;
    random.shuffle(&mut names);
    let count = 1 + random.below(2);
    let mut reader = |name: &'static str| Reads {
        name,
        order: order(name, random.below(5)),
        from_start: random.below(5) > 0,
        concurrency: 1 + random.below(6),
        batch_max: 1 + random.below(12),
    };
    names.into_iter().take(count).map(&mut reader).collect()
}

/// A stream that blocks waits for its message for ever, by its promise.
fn order(name: &str, drawn: usize) -> Order {
    match drawn {
        0 => Order::Skip,
        1 if name != "stream" => Order::Block,
        _ => Order::ParkKey,
    }
}

impl Reads {
    fn retry() -> Retry {
        Retry::exponential(Duration::from_millis(60), Duration::from_millis(500))
            .max_attempts(ATTEMPTS_MAX)
    }

    fn queue<W>(&self, queue: Queue<W>) -> Queue<W> {
        let queue = queue.retry(Self::retry()).order(self.order).timeout(TIMEOUT);
        let queue = queue.concurrency(self.concurrency).batch_max(self.batch_max);
        if self.from_start { queue.from_start() } else { queue }
    }

    fn subscription(&self, world: &Arc<World>, process: u32) -> Subscription<SimLedger, SimDriver> {
        let name = self.name;
        let desk = Desk { world: Arc::clone(world), process, subscription: name };
        let state = Arc::new(desk.clone());
        match name {
            "one" => self.queue(queue(name, one)).subscription(&state),
            "many" => self.queue(queue(name, many)).subscription(&state),
            "one-outside" => self.queue(queue(name, one_outside)).subscription(&state),
            "many-outside" => self.queue(queue(name, many_outside)).subscription(&state),
            "projection" => self.queue(queue(name, desk)).subscription(&state),
            _ => {
                let stream = stream(name, desk).retry(Self::retry()).order(self.order);
                stream.timeout(TIMEOUT).batch_max(self.batch_max).subscription(&state)
            }
        }
    }

    fn expected(&self) -> Reader {
        let reader = match self.name {
            "stream" => Reader::stream(self.name, "work"),
            _ => Reader::queue(self.name, "work"),
        };
        let is_outside = self.name.ends_with("outside");
        Reader {
            kinds: Some(vec![DONE.name.to_owned()]),
            effects: if is_outside { Effects::AtLeastOnce } else { Effects::Once },
            order: if self.order == Order::Skip { Kept::Free } else { Kept::PastDead },
            attempts_max: Some(ATTEMPTS_MAX),
            ..reader
        }
    }
}

/// One process after the other, each until it dies or leaves.
async fn lives(world: Arc<World>, readers: Vec<Reads>, mut is_over: watch::Receiver<bool>) {
    while !*is_over.borrow() {
        let process = world.process();
        let mut death = world.death(process);
        let lives = live(&world, process, &readers, is_over.clone());
        tokio::select! {
            biased;
            _ = death.wait_for(|is_dead| *is_dead) => {}
            () = lives => world.kill(process),
        }
        let rest = Duration::from_millis(20 + world.below(500) as u64);
        tokio::select! {
            biased;
            _ = is_over.wait_for(|is_over| *is_over) => {}
            () = sleep(rest) => {}
        }
    }
}

async fn live(
    world: &Arc<World>,
    process: u32,
    readers: &[Reads],
    mut is_over: watch::Receiver<bool>,
) {
    let Some(running) = begin(world, process, readers).await else { return };
    let leaves = world.plan.leaves && world.state().is_stormy;
    let wait = if leaves { 200 + world.below(2_500) as u64 } else { 1_000_000 };
    tokio::select! {
        biased;
        _ = is_over.wait_for(|is_over| *is_over) => {}
        () = sleep(Duration::from_millis(wait)) => {}
    }
    // What it answers is of no use: others find out that it is gone.
    let _ = running.shutdown().await;
}

async fn begin(world: &Arc<World>, process: u32, readers: &[Reads]) -> Option<Running> {
    let world = Arc::clone(world);
    let subscriptions = readers.iter().map(|reads| reads.subscription(&world, process)).collect();
    let ledger = SimLedger::new(&world, process);
    start(ledger, SimDriver { world, process }, subscriptions, Vec::new()).await.ok()
}

fn is_drained(world: &World, readers: &[Reads]) -> bool {
    let state = world.state();
    let is_at_end = |((_, partition), cursor): (&(_, _), &super::rows::Cursor)| {
        cursor.next >= state.log.end(*partition)
    };
    let all = state.rows.subscriptions.len() == readers.len();
    let cursors = readers.len() * usize::from(super::log::PARTITIONS);
    all && state.rows.cursors.len() == cursors
        && state.rows.waiting.is_empty()
        && state.rows.cursors.iter().all(is_at_end)
}

async fn publish(world: &World, mut random: Random) {
    let messages = world.plan.messages as u64;
    let gap = world.plan.publishes_for / world.plan.messages as u32;
    for number in 0..messages {
        let key = (random.below(6) > 0).then(|| u8::try_from(random.below(KEYS)).expect("few"));
        let work = Work { number, key, script: script(world, &mut random) };
        let kind = if random.below(20) == 0 { OTHER } else { DONE };
        publish_one(world, &work, kind, random.below(100));
        // Some come together.
        if random.below(3) == 0 {
            sleep(gap.mul_f64(random.below(60) as f64 / 10.0 / 2.0)).await;
        }
    }
}

fn publish_one(world: &World, work: &Work, kind: Kind, answer: usize) {
    let (message, number) = (MessageNumber(work.number), work.number);
    let what = Publishing {
        message,
        topic: "work".to_owned(),
        kind: kind.name.to_owned(),
        key: work.key_text(),
        publisher: 0,
        number,
        hash: number,
    };
    world.note(PUBLISHER, What::Publishing(what));
    match answer {
        0..4 => world.note(PUBLISHER, What::NotPublished { message }),
        4..7 => world.note(PUBLISHER, What::PublishUnknown { message }),
        7..10 => {
            world.publish(work, kind);
            world.note(PUBLISHER, What::PublishUnknown { message });
        }
        _ => {
            let place = Some(world.publish(work, kind));
            world.note(PUBLISHER, What::Published { message, place });
        }
    }
    world.tell();
}

fn script(world: &World, random: &mut Random) -> Script {
    if random.below(100) >= world.plan.trouble {
        return Script::Fine;
    }
    if world.plan.kills && random.below(6) == 0 {
        return Script::Kills;
    }
    [
        Script::Flaky(1),
        Script::Flaky(2),
        Script::Poison,
        Script::Rejected,
        Script::Discarded,
        Script::Snoozed,
        Script::Panics,
        Script::Hangs,
    ][random.below(8)]
}

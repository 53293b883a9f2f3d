//! The world that all processes of a schedule share: its clock, its faults, what was noted.

use super::log::Log;
use super::mutant::Mutant;
use super::plan::Plan;
use super::rows::Rows;
use super::work::Work;
use crate::Random;
use crate::checker::Witness;
use crate::history::{Event, Moment, Place, What};
use consign_core::{
    Changes, Epoch, Error, Kind, MessageId, Offset, Partition, Result, SubscriptionId, Waiters,
};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::Instant;

/// Whoever waits longer for the write lock is told that the database is busy.
const BUSY_AFTER: Duration = Duration::from_secs(5);
/// Calls of a schedule, at most.
const CALLS_MAX: u64 = 200_000;
/// Once before anybody suspects it, and then as often as it is tried.
const KILLS_MAX: u32 = 6;
/// The world begins so long after the epoch.
const BEGINS: Duration = Duration::from_hours(24 * 365 * 50);

/// A call of a ledger or a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Call {
    /// Something is looked up.
    Read,
    /// A page of the log is read.
    Page,
    /// A transaction begins.
    Begin,
    /// A statement of a transaction.
    Statement,
    /// A commit, before it takes effect.
    Commit,
    /// The same, when it has.
    Committed,
    /// A handler begins.
    Handler,
}

/// How a commit ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Stands,
    Fails,
    /// Nobody answers; it stands, or does not.
    Unknown(bool),
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) mutant: Option<Mutant>,
    pub(super) plan: Plan,
    begun: Instant,
    /// Who writes; the database has one writer.
    pub(super) lock: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) random: Random,
    pub(super) rows: Rows,
    pub(super) log: Log,
    pub(super) witnesses: Vec<Witness>,
    pub(super) history: Vec<Event>,
    pub(super) is_stormy: bool,
    pub(super) processes: Vec<Process>,
    /// How often something rare was met.
    pub(super) met: BTreeMap<&'static str, u64>,
    /// What a ledger must never be asked.
    pub(super) complaints: Vec<String>,
    places: BTreeMap<u64, (Partition, Offset)>,
    /// Of each partition the newest epoch, whatever its row says.
    newest: BTreeMap<(SubscriptionId, Partition), Epoch>,
    delivered: BTreeSet<(&'static str, u64)>,
    snoozed: BTreeSet<(&'static str, u64)>,
    trace: DefaultHasher,
    calls: u64,
    killed: BTreeMap<(&'static str, u64), u32>,
    workers: u128,
}

/// A process, from its start to its death.
#[derive(Debug)]
pub(super) struct Process {
    dead: watch::Sender<bool>,
    stopped_until: Option<Instant>,
    /// One for each who listens: of those who share one, any may be woken first.
    changes: Vec<watch::Sender<u64>>,
    waiters: Arc<Waiters>,
    pub(super) worker: Option<consign_core::WorkerId>,
    epochs: BTreeMap<(SubscriptionId, Partition), Epoch>,
}

impl World {
    pub(super) fn new(random: Random, plan: Plan, mutant: Option<Mutant>) -> Self {
        let state = State {
            random,
            rows: Rows { mutant, ..Rows::default() },
            log: Log::default(),
            witnesses: Vec::new(),
            history: Vec::new(),
            is_stormy: true,
            processes: Vec::new(),
            met: BTreeMap::new(),
            complaints: Vec::new(),
            places: BTreeMap::new(),
            newest: BTreeMap::new(),
            delivered: BTreeSet::new(),
            snoozed: BTreeSet::new(),
            trace: DefaultHasher::new(),
            calls: 0,
            killed: BTreeMap::new(),
            workers: 0,
        };
        let (begun, lock) = (Instant::now(), Arc::default());
        Self { mutant, plan, begun, lock, state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(super) fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + BEGINS + self.elapsed()
    }

    pub(super) fn moment(&self) -> Moment {
        Moment(u64::try_from(self.elapsed().as_nanos()).expect("a schedule is short"))
    }

    pub(super) fn note(&self, process: u32, what: What) {
        let at = self.moment();
        let mut state = self.state();
        (at, process).hash(&mut state.trace);
        state.history.push(Event { at, process, what });
    }

    pub(super) fn meet(&self, what: &'static str) {
        *self.state().met.entry(what).or_default() += 1;
    }

    pub(super) fn below(&self, end: usize) -> usize {
        self.state().random.below(end)
    }

    /// So often in a thousand, while there is a storm.
    pub(super) fn strikes(&self, rate: usize) -> bool {
        let mut state = self.state();
        rate > 0 && state.is_stormy && state.random.below(1_000) < rate
    }

    /// The same for everybody who ran this schedule.
    pub(super) fn fingerprint(&self) -> u64 {
        let state = self.state();
        let mut hasher = state.trace.clone();
        format!("{:?}{:?}{:?}", state.history, state.witnesses, state.rows).hash(&mut hasher);
        hasher.finish()
    }

    /// Another process begins.
    pub(super) fn process(&self) -> u32 {
        let mut state = self.state();
        state.processes.push(Process {
            dead: watch::channel(false).0,
            stopped_until: None,
            changes: Vec::new(),
            waiters: Arc::default(),
            worker: None,
            epochs: BTreeMap::new(),
        });
        u32::try_from(state.processes.len() - 1).expect("there are few")
    }

    /// A process gets another identity.
    pub(super) fn identity(&self, process: u32) -> consign_core::WorkerId {
        let mut state = self.state();
        state.workers += 1;
        let worker = consign_core::WorkerId(uuid::Uuid::from_u128(state.workers));
        state.of(process).worker = Some(worker);
        worker
    }

    pub(super) fn changes(&self, process: u32) -> Changes {
        let mut state = self.state();
        let process = state.of(process);
        let (tells, told) = watch::channel(0);
        process.changes.push(tells);
        Changes::new(told, Arc::clone(&process.waiters))
    }

    /// Something was published: processes are told, or not.
    pub(super) fn tell(&self) {
        let state = self.state();
        if state.is_stormy && self.plan.is_silent {
            return;
        }
        for changes in state.processes.iter().flat_map(|process| &process.changes) {
            changes.send_modify(|changes| *changes += 1);
        }
    }

    /// The process is no more: none of its calls goes on.
    pub(super) fn kill(&self, process: u32) {
        self.state().of(process).dead.send_replace(true);
    }

    pub(super) fn is_dead(&self, process: u32) -> bool {
        *self.state().of(process).dead.borrow()
    }

    pub(super) fn death(&self, process: u32) -> watch::Receiver<bool> {
        self.state().of(process).dead.subscribe()
    }

    /// A message kills a process: it may do so as often as it may be tried.
    pub(super) fn kills(&self, subscription: &'static str, number: u64) {
        let mut state = self.state();
        let times = state.killed.entry((subscription, number)).or_default();
        *times += 1;
        if *times > KILLS_MAX {
            let complaint = format!("message {number} kills again and again; {subscription}");
            state.complaints.push(complaint);
        }
    }

    pub(super) fn took(&self, process: u32, of: SubscriptionId, at: Partition, epoch: Epoch) {
        let mut state = self.state();
        state.of(process).epochs.insert((of, at), epoch);
        let newest = state.newest.entry((of, at)).or_default();
        *newest = epoch.max(*newest);
    }

    /// An owner's transaction commits: none of an older epoch may, after a newer one was taken.
    pub(super) fn committed(&self, of: SubscriptionId, at: Partition, epoch: Epoch) {
        let mut state = self.state();
        let newest = state.newest.get(&(of, at)).copied().unwrap_or_default();
        if epoch < newest {
            let complaint =
                format!("epoch {epoch} of {at} has committed, after {newest} was taken");
            state.complaints.push(complaint);
        }
    }

    /// Under which epoch a process owns a partition, as far as it knows.
    pub(super) fn epoch(&self, process: u32, name: &str, at: Partition) -> Epoch {
        let mut state = self.state();
        let of = state.rows.subscriptions.iter().position(|row| row.name == name);
        let of = SubscriptionId(of.map_or(0, |of| of as i64));
        state.of(process).epochs.get(&(of, at)).copied().unwrap_or_default()
    }

    pub(super) fn publish(&self, work: &Work, kind: Kind) -> Place {
        let now = self.now();
        let mut state = self.state();
        let (partition, offset) = state.log.append(work, kind, now);
        state.places.insert(work.number, (partition, offset));
        place(partition, offset)
    }

    /// Where a message lies.
    pub(super) fn at(&self, number: u64) -> (Partition, Offset) {
        self.state().places[&number]
    }

    /// A subscription has been given this message before.
    pub(super) fn is_again(&self, subscription: &'static str, number: u64) -> bool {
        !self.state().delivered.insert((subscription, number))
    }

    pub(super) fn is_first_snooze(&self, subscription: &'static str, number: u64) -> bool {
        self.state().snoozed.insert((subscription, number))
    }

    /// What happens at a call before it does what it is to do.
    pub(super) async fn enter(&self, process: u32, call: Call) -> Result {
        if self.goes_round() {
            std::future::pending::<()>().await;
        }
        (call, process, self.moment()).hash(&mut self.state().trace);
        if self.strikes(self.plan.dies) {
            self.meet(if call == Call::Committed { "died after a commit" } else { "died" });
            self.kill(process);
        }
        if call != Call::Committed && self.strikes(self.plan.stops) {
            self.stop(process);
        }
        self.pass(process).await;
        if self.strikes(self.plan.is_slow) {
            tokio::time::sleep(Duration::from_millis(1 + self.below(60) as u64)).await;
        }
        match call {
            Call::Page if self.strikes(self.plan.is_unread) => Err(busy()),
            Call::Read | Call::Begin | Call::Statement if self.strikes(self.plan.is_busy) => {
                Err(busy())
            }
            Call::Begin if self.is_in(self.plan.outage) => {
                self.meet("an outage of the database");
                tokio::time::sleep(Duration::from_millis(100)).await;
                Err(busy())
            }
            Call::Statement if self.strikes(self.plan.is_refused) => Err(refused()),
            _ => Ok(()),
        }
    }

    /// Whether there were more calls than any schedule needs.
    fn goes_round(&self) -> bool {
        let mut state = self.state();
        state.calls += 1;
        if state.calls == CALLS_MAX {
            state.complaints.push("it goes round and round".to_owned());
        }
        state.calls >= CALLS_MAX
    }

    /// Whether a window of the storm is open.
    pub(super) fn is_in(&self, window: Option<(Duration, Duration)>) -> bool {
        let elapsed = self.elapsed();
        self.state().is_stormy && window.is_some_and(|(from, to)| from <= elapsed && elapsed < to)
    }

    fn stop(&self, process: u32) {
        self.meet("stood still");
        let wait = if self.below(8) == 0 { 35_000 } else { self.below(3_000) as u64 };
        let until = Instant::now() + Duration::from_millis(wait);
        self.state().of(process).stopped_until = Some(until);
    }

    /// Waits while a process stands still, and for ever once it is dead.
    pub(super) async fn pass(&self, process: u32) {
        loop {
            let until = self.state().of(process).stopped_until.take();
            let Some(until) = until else { break };
            tokio::time::sleep_until(until).await;
        }
        if self.is_dead(process) {
            std::future::pending::<()>().await;
        }
    }

    pub(super) async fn write_lock(&self) -> Result<tokio::sync::OwnedMutexGuard<()>> {
        let locked = Arc::clone(&self.lock).lock_owned();
        tokio::time::timeout(BUSY_AFTER, locked).await.map_err(|_| busy())
    }

    pub(super) fn answer(&self) -> Answer {
        if self.strikes(self.plan.is_unknown) {
            let stands = self.below(2) == 0;
            self.meet(if stands { "unknown, and stands" } else { "unknown, and does not" });
            return Answer::Unknown(stands);
        }
        let fails = self.strikes(self.plan.is_refused);
        if fails { Answer::Fails } else { Answer::Stands }
    }
}

impl State {
    pub(super) fn of(&mut self, process: u32) -> &mut Process {
        &mut self.processes[process as usize]
    }

    /// A process holds its lock as long as it is alive.
    pub(super) fn is_process_dead(&self, process: u32) -> bool {
        *self.processes[process as usize].dead.borrow()
    }

    /// All is well from now on; who stands still goes on.
    pub(super) fn heal(&mut self) {
        self.is_stormy = false;
    }
}

pub(super) fn place(partition: Partition, offset: Offset) -> Place {
    Place { topic: "work".to_owned(), partition: partition.0, offset: offset.0 }
}

/// The number of a message.
pub(super) fn number(id: MessageId) -> u64 {
    u64::try_from(id.0.as_u128() - 1).expect("it was made of one")
}

pub(super) fn busy() -> Error {
    Error::new(Error::BUSY, "the simulated database is busy")
}

pub(super) fn refused() -> Error {
    Error::new("refused", "the simulated database refuses this")
}

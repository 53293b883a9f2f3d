//! The simulated database as one process sees it.

use super::log::partitions;
use super::mutant::Mutant;
use super::rows::{Counts, Cursor, Rows, SubscriptionRow, WorkerRow};
use super::transaction::{Connection, Transaction};
use super::world::{Call, State, World, busy};
use consign_core::{
    Advance, Advanced, BoxError, CronName, Draft, Epoch, Error, Fault, Ledger, Member, Members,
    NewSubscription, Offset, Owned, Partition, Progress, Purpose, QueueLedger, Result,
    ScheduleLedger, Settle, Settled, SubscriptionId, Unfinished, WorkerId,
};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Who is silent for so long may be dead.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// The database, from one process.
#[derive(Debug)]
pub struct SimLedger {
    world: Arc<World>,
    process: u32,
}

impl SimLedger {
    pub(super) fn new(world: &Arc<World>, process: u32) -> Self {
        Self { world: Arc::clone(world), process }
    }

    pub(super) fn process(&self) -> u32 {
        self.process
    }

    fn me(&self) -> Result<WorkerId> {
        let me = self.world.state().of(self.process).worker;
        me.ok_or_else(|| Error::new("simulated", "it has not joined"))
    }

    async fn read<T>(&self, look: impl FnOnce(&Rows) -> T) -> Result<T> {
        self.world.enter(self.process, Call::Read).await?;
        Ok(look(&self.world.state().rows))
    }

    /// A transaction of one statement.
    async fn write<T>(&self, change: impl FnOnce(&mut Rows) -> T) -> Result<T> {
        self.world.enter(self.process, Call::Begin).await?;
        let _lock = self.world.write_lock().await?;
        let changed = change(&mut self.world.state().rows);
        self.world.enter(self.process, Call::Committed).await?;
        Ok(changed)
    }

    /// Workers whose process is no more, as the lock says that each of them holds.
    fn dead(&self, of: SubscriptionId) -> Vec<WorkerId> {
        let state = self.world.state();
        let rows = state.rows.workers.iter().filter(|(_, row)| row.subscriptions.contains(&of));
        let is_dead = |(_, row): &(&WorkerId, &WorkerRow)| state.is_process_dead(row.process);
        let dead = rows.filter(is_dead).map(|(worker, _)| *worker);
        dead.filter(|_| !self.world.plan.has_leases_only).collect()
    }

    async fn bury(&self, dead: Vec<WorkerId>) -> Result {
        let now = self.world.now();
        self.world.meet("taken over from the dead");
        self.world.enter(self.process, Call::Begin).await?;
        let _lock = self.world.write_lock().await?;
        {
            let State { rows, log, .. } = &mut *self.world.state();
            for worker in dead {
                rows.suspect(log, worker, now);
            }
        }
        self.world.enter(self.process, Call::Committed).await?;
        Ok(())
    }

    /// Judges another worker dead that is not: a clock has jumped, or it was starved.
    async fn misjudge(&self, me: WorkerId) -> Result {
        let now = self.world.now();
        let end = |rows: &mut Rows| {
            let mut others = rows.workers.iter_mut().filter(|(worker, _)| **worker != me);
            if let Some((_, row)) = others.next() {
                row.alive_until = now;
            }
        };
        self.world.meet("misjudged");
        self.write(end).await
    }
}

impl Ledger for SimLedger {
    type Connection = Connection;
    type Transaction = Transaction;

    async fn subscribe(&self, new: &NewSubscription) -> Result<SubscriptionId> {
        let name = new.name.to_string();
        let mut kinds = new.kinds.iter().map(|kind| kind.name.to_owned()).collect::<Vec<_>>();
        kinds.sort_unstable();
        let progress = Progress::New;
        let add = |rows: &mut Rows| {
            let found = rows.subscriptions.iter().position(|row| row.name == name);
            let index = found.unwrap_or_else(|| {
                rows.subscriptions.push(SubscriptionRow { name, kinds, progress });
                rows.subscriptions.len() - 1
            });
            SubscriptionId(i64::try_from(index).expect("there are few"))
        };
        self.write(add).await
    }

    async fn join(&self, subscriptions: &[SubscriptionId]) -> Result<WorkerId> {
        let (worker, now) = (self.world.identity(self.process), self.world.now());
        let row = WorkerRow {
            process: self.process,
            subscriptions: subscriptions.to_vec(),
            alive_until: now + LEASE,
        };
        let replace = |rows: &mut Rows| {
            rows.workers.retain(|_, before| before.process != row.process);
            rows.workers.insert(worker, row);
        };
        self.write(replace).await?;
        Ok(worker)
    }

    async fn heartbeat(&self) -> Result<bool> {
        let me = self.me()?;
        let world = Arc::clone(&self.world);
        let renew = move |rows: &mut Rows| {
            let now = world.now();
            let row = rows.workers.get_mut(&me).filter(|row| row.alive_until > now);
            row.map(|row| row.alive_until = now + LEASE).is_some()
        };
        self.write(renew).await
    }

    async fn leave(&self) -> Result {
        let me = self.me()?;
        let leave = |rows: &mut Rows| {
            rows.workers.remove(&me);
            let mine = rows.cursors.values_mut().filter(|cursor| cursor.owner == Some(me));
            mine.for_each(|cursor| cursor.owner = None);
        };
        self.world.meet("left");
        self.write(leave).await
    }

    async fn members(&self, of: SubscriptionId) -> Result<Members> {
        let (me, dead) = (self.me()?, self.dead(of));
        if !dead.is_empty() {
            self.bury(dead).await?;
        }
        if self.world.strikes(self.world.plan.is_misjudged) {
            self.misjudge(me).await?;
        }
        let now = self.world.now();
        self.read(|rows| members(rows, of, now)).await
    }

    async fn take(&self, of: SubscriptionId, partitions: &[Partition]) -> Result<Vec<Owned>> {
        let (me, now) = (self.me()?, self.world.now());
        let owned = self.write(|rows| take(rows, of, partitions, (me, now))).await?;
        for Owned { partition, epoch, .. } in &owned {
            self.world.took(self.process, of, *partition, *epoch);
        }
        Ok(owned)
    }

    async fn release(&self, of: SubscriptionId, partitions: &[Partition]) -> Result {
        let me = self.me()?;
        self.world.meet("handed over");
        let moves = u64::from(self.world.is(Mutant::ReleaseMoves));
        let release = |rows: &mut Rows| {
            for partition in partitions {
                let cursor = rows.cursors.get_mut(&(of, *partition));
                if let Some(cursor) = cursor.filter(|cursor| cursor.owner == Some(me)) {
                    cursor.owner = None;
                    cursor.next.0 += moves;
                }
            }
        };
        self.write(release).await
    }

    fn batch_max(&self, _: SubscriptionId) -> usize {
        1 + self.world.plan.messages % 12
    }

    async fn begin(&self, _: SubscriptionId) -> Result<Transaction> {
        self.world.enter(self.process, Call::Begin).await?;
        let lock = self.world.write_lock().await?;
        Ok(Transaction::new(&self.world, self.process, Some(lock)))
    }

    async fn advance(
        &self,
        tx: &mut Transaction,
        moves: &[Advance],
        kinds: &[String],
    ) -> Result<Advanced> {
        self.world.enter(self.process, Call::Statement).await?;
        let mut fenced = Vec::new();
        for advance in moves {
            let Advance { subscription, partition, epoch, from, to, .. } = *advance;
            let skipped = advance.skipped.iter().map(|(_, total)| total).sum::<u64>();
            let applied = (advance.messages - skipped).cast_signed();
            let counts = Counts { applied, ..Counts::default() };
            if tx.rows.advance((subscription, partition, epoch), (from, to), counts) {
                tx.moves(subscription, (partition, epoch), (from.0, to.0));
            } else {
                fenced.push(partition);
            }
        }
        if !fenced.is_empty() {
            tx.refuse();
            return Ok(Advanced::Fenced(fenced));
        }
        let named = moves.first().map(|first| self.kinds(tx, first.subscription));
        Ok(named.filter(|named| named != kinds).map_or(Advanced::All, Advanced::Kinds))
    }

    async fn commit(&self, tx: Transaction) -> Result {
        tx.commit().await
    }

    async fn rollback(&self, tx: Transaction) {
        self.world.pass(self.process).await;
        drop(tx);
    }

    async fn snapshot(&self) -> Result<Transaction> {
        self.world.enter(self.process, Call::Read).await?;
        Ok(Transaction::new(&self.world, self.process, None))
    }

    async fn ends(
        &self,
        _: &mut Transaction,
        _: SubscriptionId,
    ) -> Result<Vec<(Partition, Offset)>> {
        self.world.enter(self.process, Call::Statement).await?;
        let state = self.world.state();
        Ok(partitions().map(|partition| (partition, state.log.end(partition))).collect())
    }

    async fn progress(&self, tx: &mut Transaction, of: SubscriptionId) -> Result<Progress> {
        self.world.enter(self.process, Call::Statement).await?;
        let index = usize::try_from(of.0).expect("they are counted from 0");
        Ok(tx.rows.subscriptions[index].progress.clone())
    }

    async fn place(
        &self,
        tx: &mut Transaction,
        of: SubscriptionId,
        cursors: &[(Partition, Offset)],
        progress: &Progress,
    ) -> Result {
        self.world.enter(self.process, Call::Statement).await?;
        let late = u64::from(self.world.is(Mutant::BeginsLate));
        for partition in partitions() {
            let named = cursors.iter().find(|(at, _)| *at == partition);
            let start = named.map_or(Offset(0), |(_, start)| *start);
            let next = Offset(start.0 + late);
            let cursor = Cursor { start, next, ..Cursor::default() };
            tx.rows.cursors.entry((of, partition)).or_insert(cursor);
        }
        let index = usize::try_from(of.0).expect("they are counted from 0");
        tx.rows.subscriptions[index].progress = progress.clone();
        Ok(())
    }
}

impl SimLedger {
    fn kinds(&self, tx: &Transaction, of: SubscriptionId) -> Vec<String> {
        let index = usize::try_from(of.0).expect("they are counted from 0");
        tx.rows.subscriptions[index].kinds.clone()
    }
}

impl QueueLedger for SimLedger {
    async fn unfinished(
        &self,
        of: SubscriptionId,
        partitions: &[Partition],
    ) -> Result<Vec<Unfinished>> {
        let found = self.read(|rows| unfinished(rows, of, partitions)).await?;
        if found.iter().any(|found| found.suspects_below.is_some()) {
            self.world.meet("suspects");
        }
        Ok(found)
    }

    async fn begin_for(&self, of: SubscriptionId, _: Purpose) -> Result<Transaction> {
        self.begin(of).await
    }

    fn call_begins(&self, tx: &mut Transaction) {
        tx.call_begins();
    }

    async fn has_written(&self, tx: &mut Transaction) -> bool {
        tx.has_written()
    }

    async fn save(&self, tx: &mut Transaction) -> Result {
        self.world.enter(self.process, Call::Statement).await?;
        tx.save();
        Ok(())
    }

    async fn take_back(&self, tx: &mut Transaction) -> Result {
        self.world.enter(self.process, Call::Statement).await?;
        tx.take_back();
        Ok(())
    }

    async fn settle(
        &self,
        tx: &mut Transaction,
        of: SubscriptionId,
        parts: &[Settle],
        kinds: &[String],
    ) -> Result<Settled> {
        self.world.enter(self.process, Call::Statement).await?;
        let (now, mut unparked, mut fenced) = (self.world.now(), Vec::new(), Vec::new());
        for part in parts {
            self.look_at(part);
            let world = Arc::clone(&self.world);
            let settled = tx.rows.settle(&world.state().log, of, part, now);
            let Settle { partition, epoch, from, to, .. } = *part;
            match settled {
                Some(keys) => {
                    unparked.extend(keys.into_iter().map(|key| (partition, key)));
                    tx.moves(of, (partition, epoch), (from.0, to.0));
                }
                None => fenced.push(partition),
            }
        }
        if !fenced.is_empty() {
            tx.refuse();
            return Ok(Settled::Fenced(fenced));
        }
        if !unparked.is_empty() {
            self.world.meet("a parked key went on");
        }
        let named = self.kinds(tx, of);
        Ok(if named == kinds { Settled::All(unparked) } else { Settled::Kinds(named) })
    }

    async fn due(
        &self,
        of: SubscriptionId,
        partitions: &[Partition],
        max: usize,
    ) -> Result<consign_core::Due> {
        self.world.enter(self.process, Call::Read).await?;
        let now = self.world.now();
        Ok(super::due::due(&self.world.state(), of, partitions, max, now))
    }

    async fn execute(&self, _: SubscriptionId, _: &[(Partition, Epoch)]) -> Result<Vec<Partition>> {
        Ok(Vec::new())
    }

    fn fault(&self, error: &BoxError) -> Fault {
        let is_ours = error.downcast_ref::<Error>().is_some_and(Error::is_retryable);
        if is_ours { Fault::Outage } else { Fault::Message }
    }

    fn is_too_weak(&self, _: &Transaction) -> bool {
        false
    }

    fn now(&self) -> SystemTime {
        self.world.now()
    }
}

impl SimLedger {
    /// What no settlement may say.
    fn look_at(&self, part: &Settle) {
        let is_finished = |offset: &Offset| {
            (part.from <= *offset && *offset < part.to) || part.marks.contains(offset)
        };
        let moves_back = part.to < part.from;
        let marks_below = part.marks.iter().any(|mark| *mark < part.to);
        let unfinished = part.aside.iter().any(|(offset, _)| !is_finished(offset));
        if moves_back || marks_below || unfinished {
            self.world.state().complaints.push(format!("no settlement: {part:?}"));
        }
    }
}

impl ScheduleLedger for SimLedger {
    async fn next_due(&self) -> Result<Option<SystemTime>> {
        Ok(None)
    }

    async fn promote(&self) -> Result<usize> {
        Ok(0)
    }

    async fn name_cron(&self, _: &CronName, _: &str) -> Result<SystemTime> {
        Err(busy())
    }

    async fn last_tick(&self, _: &CronName) -> Result<Option<SystemTime>> {
        Ok(None)
    }

    async fn tick(
        &self,
        _: &CronName,
        _: SystemTime,
        _: SystemTime,
        _: Vec<Draft>,
    ) -> Result<bool> {
        Err(busy())
    }

    fn time(&self) -> SystemTime {
        self.world.now()
    }
}

fn members(rows: &Rows, of: SubscriptionId, now: SystemTime) -> Members {
    let named = rows.workers.iter().filter(|(_, row)| row.subscriptions.contains(&of));
    let workers = named.map(|(worker, _)| *worker).filter(|worker| rows.is_alive(*worker, now));
    let cursors = rows.cursors.range((of, Partition(0))..=(of, Partition(u16::MAX)));
    let member = |(place, cursor): (&(SubscriptionId, Partition), &Cursor)| Member {
        partition: place.1,
        owner: cursor.owner.filter(|owner| rows.is_alive(*owner, now)),
    };
    let index = usize::try_from(of.0).expect("they are counted from 0");
    Members {
        workers: workers.collect(),
        partitions: cursors.map(member).collect(),
        kinds: rows.subscriptions[index].kinds.clone(),
        ..Members::default()
    }
}

fn take(
    rows: &mut Rows,
    of: SubscriptionId,
    partitions: &[Partition],
    (me, now): (WorkerId, SystemTime),
) -> Vec<Owned> {
    let mut taken = Vec::new();
    if !rows.is_alive(me, now) {
        return taken;
    }
    let grows = u64::from(rows.mutant != Some(Mutant::TakeKeepsEpoch));
    for partition in partitions.iter().copied() {
        let Some(owner) = rows.cursors.get(&(of, partition)).map(|cursor| cursor.owner) else {
            continue;
        };
        if owner.is_some_and(|owner| owner != me && rows.is_alive(owner, now)) {
            continue;
        }
        let cursor = rows.cursors.get_mut(&(of, partition)).expect("looked up above");
        cursor.owner = Some(me);
        cursor.epoch.0 += grows;
        taken.push(Owned { partition, epoch: cursor.epoch, cursor: cursor.next });
    }
    taken
}

fn unfinished(rows: &Rows, of: SubscriptionId, partitions: &[Partition]) -> Vec<Unfinished> {
    let look = |partition: &Partition| {
        let mine = (of, *partition, Offset(0))..(of, *partition, Offset(u64::MAX));
        let marks = rows.marks.range(mine).map(|(_, _, offset)| *offset);
        let parked = rows.parked.iter().filter(|(id, at, _)| (*id, *at) == (of, *partition));
        let parked = parked.map(|(_, _, key)| key.clone());
        let is = |mutant| rows.mutant == Some(mutant);
        Unfinished {
            partition: *partition,
            marks: marks.filter(|_| !is(Mutant::TakeOverIgnoresMarks)).collect(),
            parked: parked.filter(|_| !is(Mutant::TakeOverIgnoresParked)).collect(),
            suspects_below: rows.suspects_below(of, *partition),
            last_suspect: rows.last_suspect(of, *partition),
        }
    };
    partitions.iter().map(look).collect()
}

//! A transaction of the simulated database: a copy of its tables, until it commits.

use super::mutant::Mutant;
use super::rows::Rows;
use super::world::{Answer, Call, World, busy, refused};
use crate::checker::Witness;
use crate::history::{End, MessageNumber, Moved, What};
use consign_core::{
    BoxFuture, Draft, Epoch, Error, MessageId, Outbox, Partition, Result, SubscriptionId,
};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A delivery whose handler has ended well: of which subscription, under which epoch.
type Done = (String, MessageNumber, Epoch);

/// What handlers write through.
pub struct Connection {
    pub(super) world: Arc<World>,
    pub(super) process: u32,
    pub(super) rows: Rows,
    lock: Option<tokio::sync::OwnedMutexGuard<()>>,
    effects: Vec<Effect>,
    /// Deliveries whose handler has ended well.
    done: Vec<Done>,
    epochs: BTreeMap<(String, Partition), Epoch>,
    owned: Vec<(SubscriptionId, Partition, Epoch)>,
    moves: Vec<Moved>,
    has_written: bool,
    /// How many effects, and deliveries that ended well, stay when a savepoint is taken back.
    saved: Option<(usize, usize)>,
    refused: Option<End>,
    is_over: bool,
}

/// What a handler has done.
#[derive(Clone, Debug)]
pub(super) struct Effect {
    pub(super) subscription: String,
    pub(super) message: MessageNumber,
    pub(super) key: Option<String>,
    pub(super) partition: Partition,
}

/// A transaction, as the worker owns it.
#[derive(Debug)]
pub struct Transaction(Connection);

impl Transaction {
    /// Begins; with `lock`, it may write.
    pub(super) fn new(
        world: &Arc<World>,
        process: u32,
        lock: Option<tokio::sync::OwnedMutexGuard<()>>,
    ) -> Self {
        let rows = world.state().rows.clone();
        Self(Connection {
            world: Arc::clone(world),
            process,
            rows,
            lock,
            effects: Vec::new(),
            done: Vec::new(),
            epochs: BTreeMap::new(),
            owned: Vec::new(),
            moves: Vec::new(),
            has_written: false,
            saved: None,
            refused: None,
            is_over: false,
        })
    }

    pub(super) async fn commit(mut self) -> Result {
        let (world, process) = (Arc::clone(&self.world), self.process);
        world.enter(process, Call::Commit).await?;
        if self.refused.is_some() {
            let complaint = "what the ledger refused was committed".to_owned();
            world.state().complaints.push(complaint);
        }
        let answer = world.answer();
        let stands = matches!(answer, Answer::Stands | Answer::Unknown(true));
        if stands && !world.is(Mutant::CommitLies) {
            self.take_effect();
        }
        world.enter(process, Call::Committed).await?;
        self.end(match answer {
            Answer::Stands => End::Done,
            Answer::Fails => End::Failed,
            Answer::Unknown(_) => End::Unknown,
        });
        match answer {
            Answer::Stands => Ok(()),
            Answer::Fails => Err(if world.below(2) == 0 { busy() } else { refused() }),
            Answer::Unknown(_) => Err(Error::new(Error::UNKNOWN, "nobody answered the commit")),
        }
    }
}

impl Connection {
    /// Writes an effect.
    pub(super) fn write(&mut self, effect: Effect) {
        self.has_written = true;
        self.effects.push(effect);
    }

    pub(super) fn call_begins(&mut self) {
        self.has_written = false;
    }

    pub(super) fn has_written(&self) -> bool {
        self.has_written && !self.world.is(Mutant::WritesDenied)
    }

    /// What was done until now stays when [`Self::take_back`] comes.
    pub(super) fn save(&mut self) {
        self.saved = Some((self.effects.len(), self.done.len()));
    }

    pub(super) fn take_back(&mut self) {
        self.world.meet("taken back to a savepoint");
        let Some((mut effects, done)) = self.saved else {
            let complaint = "a savepoint that was never set was taken back".to_owned();
            return self.world.state().complaints.push(complaint);
        };
        if self.world.is(Mutant::TakenBackStays) {
            effects = self.effects.len();
        } else if self.world.is(Mutant::TakesBackAll) {
            effects = 0;
        }
        self.effects.truncate(effects);
        let failed = self.done.split_off(done);
        self.tell(failed, End::Failed);
    }

    /// A handler has ended well; what comes of it is known with the commit.
    pub(super) fn is_done(&mut self, subscription: &str, message: MessageNumber, epoch: Epoch) {
        self.done.push((subscription.to_owned(), message, epoch));
    }

    /// The ledger has refused; nothing of this may be committed.
    pub(super) fn refuse(&mut self) {
        self.refused = Some(End::Fenced);
        self.world.meet("fenced");
    }

    /// A cursor is moved, with the transaction.
    pub(super) fn moves(
        &mut self,
        of: SubscriptionId,
        (partition, epoch): (Partition, Epoch),
        (from, to): (u64, u64),
    ) {
        let subscription = self.name(of);
        self.owned.push((of, partition, epoch));
        self.epochs.insert((subscription.clone(), partition), epoch);
        if from < to {
            let (partition, epoch) = (partition.0, epoch.0);
            self.moves.push(Moved { subscription, partition, epoch, from, to });
        }
        if self.world.is(Mutant::SettledOutside) {
            self.world.state().rows = self.rows.clone();
        }
    }

    pub(super) fn name(&self, of: SubscriptionId) -> String {
        let index = usize::try_from(of.0).expect("they are counted from 0");
        self.rows.subscriptions[index].name.clone()
    }

    fn take_effect(&mut self) {
        for (of, partition, epoch) in std::mem::take(&mut self.owned) {
            self.world.committed(of, partition, epoch);
        }
        for moved in std::mem::take(&mut self.moves) {
            self.world.note(self.process, What::Moved(moved));
        }
        if self.lock.is_some() {
            self.world.state().rows = self.rows.clone();
        }
        if !self.world.is(Mutant::EffectsForgotten) {
            self.write_effects();
        }
    }

    fn write_effects(&mut self) {
        for Effect { subscription, message, key, partition } in std::mem::take(&mut self.effects) {
            let known = self.epochs.get(&(subscription.clone(), partition)).copied();
            let epoch =
                known.unwrap_or_else(|| self.world.epoch(self.process, &subscription, partition));
            self.world.witness(self.process, (subscription, message, key), epoch);
        }
    }

    fn end(&mut self, end: End) {
        self.is_over = true;
        let done = std::mem::take(&mut self.done);
        self.tell(done, end);
    }

    /// Says of deliveries whose handler ended well what came of them.
    fn tell(&self, done: Vec<Done>, end: End) {
        let worker = self.process;
        for (subscription, message, epoch) in done {
            let epoch = epoch.0;
            self.world.note(worker, What::Applied { subscription, message, worker, epoch, end });
        }
    }
}

impl World {
    /// An effect, as it lies in the database, or outside.
    pub(super) fn witness(
        &self,
        worker: u32,
        (subscription, message, key): (String, MessageNumber, Option<String>),
        epoch: Epoch,
    ) {
        let mut state = self.state();
        let n = state.witnesses.len() as u64;
        state.witnesses.push(Witness { n, subscription, message, key, epoch: epoch.0, worker });
    }
}

impl Drop for Connection {
    /// Who is dead cannot say how it ended; that it did is noted for him.
    fn drop(&mut self) {
        if self.world.is(Mutant::EffectsOutside) {
            self.write_effects();
        }
        if !self.is_over {
            let is_dead = self.world.is_dead(self.process);
            let end = if is_dead { End::Unknown } else { End::Failed };
            self.end(self.refused.unwrap_or(end));
        }
    }
}

impl Deref for Transaction {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

impl Outbox for Transaction {
    fn put(&mut self, _: Vec<Draft>) -> BoxFuture<'_, Result<Vec<MessageId>>> {
        let refused = Error::new("simulated", "handlers of a simulation publish nothing");
        Box::pin(std::future::ready(Err(refused)))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("process", &self.process).finish_non_exhaustive()
    }
}

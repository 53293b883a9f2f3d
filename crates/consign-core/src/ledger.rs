//! Progress and ownership, recorded in the application's database.

use crate::{
    Epoch, Error, Kind, Offset, Outbox, Partition, Result, Resume, SubscriptionName, Topic,
};
use std::future::Future;
use uuid::Uuid;

/// Records, in the effect's own transaction, that messages have had their effect; and says which
/// worker owns which partition.
///
/// Core knows no database: all that a worker or a projection's `Tx` ever sees of one is
/// [`Ledger::Connection`]. One ledger stands for one worker process.
///
/// # What an implementation must do
/// * Everything done through one `Transaction` commits together or not at all; dropping it rolls
///   back.
/// * [`advance`](Ledger::advance) is atomic with the effects that follow it in the same
///   transaction, also against a worker that was judged dead and is not: two transactions that
///   move one cursor from the same place never both commit.
/// * Fencing rests on the epoch alone, never on a lease or on a process's clock.
pub trait Ledger: Send + Sync + 'static {
    /// What effects are written through.
    type Connection: Send + 'static;
    /// Owned, so that it can be lent to a projection and taken back.
    type Transaction: Outbox<Target = Self::Connection> + 'static;

    /// Creates or finds a subscription and adds the kinds it names to those on its row.
    fn subscribe(
        &self,
        subscription: &NewSubscription,
    ) -> impl Future<Output = Result<SubscriptionId>> + Send;

    /// Joins under a new identity; from then on this process is alive until it dies or leaves.
    fn join(
        &self,
        subscriptions: &[SubscriptionId],
    ) -> impl Future<Output = Result<WorkerId>> + Send;

    /// Renews this process's lease, also one that has run out while nobody took over; `false`: it is
    /// no longer known, and has to join again.
    fn heartbeat(&self) -> impl Future<Output = Result<bool>> + Send;

    /// Leaves at once: others take over without waiting for a lease.
    fn leave(&self) -> impl Future<Output = Result> + Send;

    /// Who is alive, and who owns what. Only reads, unless it finds a process dead.
    fn members(&self, of: SubscriptionId) -> impl Future<Output = Result<Members>> + Send;

    /// Takes those of `partitions` that no living worker owns; their epoch grows.
    fn take(
        &self,
        of: SubscriptionId,
        partitions: &[Partition],
    ) -> impl Future<Output = Result<Vec<Owned>>> + Send;

    /// Hands partitions over, after what was in flight has ended.
    fn release(
        &self,
        of: SubscriptionId,
        partitions: &[Partition],
    ) -> impl Future<Output = Result> + Send;

    /// How many messages the next transaction of a subscription should take, at least 1: what the
    /// database holds its lock for as long as others can bear.
    fn batch_max(&self, of: SubscriptionId) -> usize;

    /// Begins a transaction for an effect. Must be cancel-safe.
    fn begin(&self, of: SubscriptionId) -> impl Future<Output = Result<Self::Transaction>> + Send;

    /// Moves cursors: the first statement of an effect's transaction.
    fn advance(
        &self,
        tx: &mut Self::Transaction,
        moves: &[Advance],
        kinds: &[String],
    ) -> impl Future<Output = Result<Advanced>> + Send;

    /// Commits. Must not answer `Ok` for a transaction that is not the one that was begun: a
    /// projection's SQL may have ended it.
    fn commit(&self, tx: Self::Transaction) -> impl Future<Output = Result> + Send;

    /// Rolls back, and is quiet about it.
    fn rollback(&self, tx: Self::Transaction) -> impl Future<Output = ()> + Send;

    /// Removes some of what nobody needs any more, where it is time to look for that; `true`: there
    /// may be more. Called about once a second.
    fn retain(&self) -> impl Future<Output = Result<bool>> + Send {
        async { Ok(false) }
    }

    /// Begins a transaction that only reads, and that no writer waits for.
    fn snapshot(&self) -> impl Future<Output = Result<Self::Transaction>> + Send;

    /// Where each partition of the topic ends, as this transaction sees it.
    fn ends(
        &self,
        tx: &mut Self::Transaction,
        of: SubscriptionId,
    ) -> impl Future<Output = Result<Vec<(Partition, Offset)>>> + Send;

    /// How far the subscription has come, as this transaction sees it.
    fn progress(
        &self,
        tx: &mut Self::Transaction,
        of: SubscriptionId,
    ) -> impl Future<Output = Result<Progress>> + Send;

    /// Begins a rebuild, in the transaction that empties the read model: takes back all that the
    /// subscription has come to, with what waits and what is dead, places its cursors as
    /// [`place`](Ledger::place) would, and fences whoever owns a partition. It is
    /// [`Progress::Backfilling`] then, until `place` says otherwise.
    fn restart(
        &self,
        tx: &mut Self::Transaction,
        of: SubscriptionId,
        cursors: &[(Partition, Offset)],
    ) -> impl Future<Output = Result> + Send {
        let _ = (tx, of, cursors);
        async { Err(Error::new("cannot-rebuild", "this ledger knows no rebuild")) }
    }

    /// Asks whether the log still has all that was ever published to the subscription's topic.
    fn is_whole(
        &self,
        tx: &mut Self::Transaction,
        of: SubscriptionId,
    ) -> impl Future<Output = Result<bool>> + Send {
        let _ = (tx, of);
        async { Ok(false) }
    }

    /// Where a queue began in each partition, as long as the log still has all that came since.
    fn began(
        &self,
        tx: &mut Self::Transaction,
        of: SubscriptionId,
    ) -> impl Future<Output = Result<Option<Vec<(Partition, Offset)>>>> + Send {
        let _ = (tx, of);
        async { Ok(None) }
    }

    /// Says to whoever asked for a rebuild why there is none.
    fn refuse_rebuild(&self, of: SubscriptionId, why: &str) -> impl Future<Output = Result> + Send {
        let _ = (of, why);
        async { Ok(()) }
    }

    /// Stores how far it has come. The first call places the cursors at `cursors`; a partition
    /// that is not named starts at the beginning.
    fn place(
        &self,
        tx: &mut Self::Transaction,
        of: SubscriptionId,
        cursors: &[(Partition, Offset)],
        progress: &Progress,
    ) -> impl Future<Output = Result> + Send;
}

/// A durable reader, as a starting process names it.
#[derive(Clone, Debug)]
pub struct NewSubscription {
    /// Its name.
    pub name: SubscriptionName,
    /// The topic it reads.
    pub topic: Topic,
    /// How it reads it.
    pub reads: Reads,
    /// It is a projection, whose read model may be built anew; else a handler.
    pub is_projection: bool,
    /// The kinds that this build understands.
    pub kinds: Vec<Kind>,
}

/// How a subscription reads its topic; what its row means depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// In order, a cursor that moves over all of it.
    Stream,
    /// Each message on its own, done marks above the cursor.
    Queue,
}

impl Reads {
    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Queue => "queue",
        }
    }
}

/// A subscription's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(pub i64);

/// A worker process, new at every start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub Uuid);

/// How far a subscription has come before it applies events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has no cursors yet.
    New,
    /// Its backfill goes on here; nobody may own a partition.
    Backfilling(Resume),
    /// It applies events.
    Running,
    /// It has come far, and is asked to begin anew.
    Rebuild,
}

/// A cursor's move over messages that were applied or skipped.
#[derive(Clone, Debug)]
pub struct Advance {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The partition.
    pub partition: Partition,
    /// The epoch under which it is owned.
    pub epoch: Epoch,
    /// Where the cursor must stand.
    pub from: Offset,
    /// Where it is moved to.
    pub to: Offset,
    /// Messages between the two.
    pub messages: u64,
    /// How many of them were skipped, per kind.
    pub skipped: Vec<(std::sync::Arc<str>, u64)>,
}

/// What became of the moves; only [`Advanced::All`] may be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advanced {
    /// All cursors were moved.
    All,
    /// These partitions have a newer owner: apply nothing, drop them.
    Fenced(Vec<Partition>),
    /// The subscription's row names other kinds than the caller knew: judge the messages anew.
    Kinds(Vec<String>),
}

/// Who works for a subscription.
#[derive(Clone, Debug, Default)]
pub struct Members {
    /// Living workers in the order of their ids, this one among them.
    pub workers: Vec<WorkerId>,
    /// The partitions, and who owns each; empty before the first cursors.
    pub partitions: Vec<Member>,
    /// The kinds on the subscription's row.
    pub kinds: Vec<String>,
    /// Somebody paused the subscription.
    pub is_paused: bool,
    /// Something is asked for from outside, in whichever partition.
    pub is_asked: bool,
    /// Its read model is being built, or is to be built anew: nobody may own a partition.
    pub is_building: bool,
}

/// A partition and its owner.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// The partition.
    pub partition: Partition,
    /// Its living owner.
    pub owner: Option<WorkerId>,
}

/// A partition that this process owns from now on.
#[derive(Clone, Copy, Debug)]
pub struct Owned {
    /// The partition.
    pub partition: Partition,
    /// The epoch of this ownership.
    pub epoch: Epoch,
    /// The next message.
    pub cursor: Offset,
}

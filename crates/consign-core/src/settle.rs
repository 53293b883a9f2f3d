//! How messages of a queue end, in the transaction of their effects.

use crate::{
    BoxError, Envelope, Epoch, Key, Ledger, MessageId, Offset, Partition, Result, SubscriptionId,
};
use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

/// What a queue asks of a ledger beyond owners and cursors.
///
/// # What an implementation must do
/// * [`QueueLedger::settle`] stands in the transaction of the effects: both or neither. Under an
///   epoch that is no longer the newest it settles nothing.
/// * A message that has a row here ([`Fate::Retry`], [`Fate::Parked`], [`Fate::Dead`]) has its done
///   mark too: the row stands in for it, and its removal is the ledger of every later attempt.
pub trait QueueLedger: Ledger {
    /// What a new owner must know: what is finished above the cursor, and which keys are parked.
    fn unfinished(
        &self,
        of: SubscriptionId,
        partitions: &[Partition],
    ) -> impl Future<Output = Result<Vec<Unfinished>>> + Send;

    /// Begins a transaction for what `purpose` says. Must be cancel-safe.
    fn begin_for(
        &self,
        of: SubscriptionId,
        purpose: Purpose,
    ) -> impl Future<Output = Result<Self::Transaction>> + Send;

    /// A handler is about to be called: [`QueueLedger::has_written`] speaks of it.
    fn call_begins(&self, tx: &mut Self::Transaction);

    /// Asks whether a statement that may write has run in this transaction since the handler was
    /// called: what wrote nothing can fail without harm to the others of its group. A statement
    /// that the handler did not wait for has run before the answer.
    fn has_written(&self, tx: &mut Self::Transaction) -> impl Future<Output = bool> + Send;

    /// Makes what was done in this transaction until now stay when [`QueueLedger::take_back`] comes.
    fn save(&self, tx: &mut Self::Transaction) -> impl Future<Output = Result> + Send;

    /// Takes back all that was done since [`QueueLedger::save`], and nothing else; another one may
    /// follow. A statement that a handler did not wait for is taken back too, and none of them runs
    /// later. An error: the whole transaction is to be rolled back.
    fn take_back(&self, tx: &mut Self::Transaction) -> impl Future<Output = Result> + Send;

    /// Settles messages; only [`Settled::All`] may be committed. Last in a transaction of handlers.
    fn settle(
        &self,
        tx: &mut Self::Transaction,
        of: SubscriptionId,
        parts: &[Settle],
        kinds: &[String],
    ) -> impl Future<Output = Result<Settled>> + Send;

    /// Messages whose time has come, in these partitions; `max` keys at most, and of a key its
    /// next messages in order, `max` at most.
    fn due(
        &self,
        of: SubscriptionId,
        partitions: &[Partition],
        max: usize,
    ) -> impl Future<Output = Result<Due>> + Send;

    /// Executes what was asked for from outside, in these partitions; answers what has changed in
    /// them.
    fn execute(
        &self,
        of: SubscriptionId,
        owned: &[(Partition, Epoch)],
    ) -> impl Future<Output = Result<Vec<Partition>>> + Send;

    /// Keeps, for those who look, where this process stands still and why, and forgets where it goes
    /// on. Seldom: when it begins, when its text changes, when it ends. A ledger that nobody looks
    /// at need not keep it.
    fn stands_still(
        &self,
        of: SubscriptionId,
        changes: &[Standstill],
    ) -> impl Future<Output = Result> + Send {
        let _ = (of, changes);
        std::future::ready(Ok(()))
    }

    /// A consumer of this process has died or hangs, and another one follows: counts that, forgets
    /// where it stood still, and suspects what it may have had in hand. A ledger that nobody looks at
    /// need not.
    fn consumer_restarts(&self, of: SubscriptionId) -> impl Future<Output = Result> + Send {
        let _ = of;
        std::future::ready(Ok(()))
    }

    /// Says of an error of a handler whether the message is to blame.
    fn fault(&self, error: &BoxError) -> Fault;

    /// Asks whether the transaction must be begun anew, since it has to be durable and is not.
    fn is_too_weak(&self, tx: &Self::Transaction) -> bool;

    /// The time now, by the clock of this ledger.
    fn now(&self) -> SystemTime;
}

/// What a transaction is begun for: it decides what it may do, and how durable it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Handlers with `Tx`: effects and ledger lie in one place; they may publish.
    Handlers,
    /// A projection that is read as a queue: the same, but it publishes nothing, since a rebuild
    /// calls it again.
    Projection,
    /// The marks of handlers without `Tx`: on disk when it has committed, since what they did is
    /// outside.
    Marks,
}

/// What an owner finds in a partition.
#[derive(Clone, Debug)]
pub struct Unfinished {
    /// The partition.
    pub partition: Partition,
    /// Finished, at or above the cursor.
    pub marks: Vec<Offset>,
    /// Keys whose messages wait behind one that failed.
    pub parked: Vec<Key>,
    /// An owner died: what lies below, and is not finished, may have killed it. It is said until the
    /// cursor has passed.
    pub suspects_below: Option<Offset>,
    /// The last message that waits to be run alone, of those whose key nobody has paused. With
    /// [`Order::Block`](crate::Order::Block) its partition waits for it.
    pub last_suspect: Option<Offset>,
}

/// What one transaction settles in one partition.
#[derive(Clone, Debug)]
pub struct Settle {
    /// The partition.
    pub partition: Partition,
    /// The epoch under which it is owned.
    pub epoch: Epoch,
    /// Where the cursor must stand.
    pub from: Offset,
    /// Where it is moved to: over all that is finished without a gap. Marks below go.
    pub to: Offset,
    /// Skipped messages between the two, per kind.
    pub skipped: Vec<(Arc<str>, u64)>,
    /// Newly finished at or above `to`: a done mark each.
    pub marks: Vec<Offset>,
    /// Messages of the log that are settled now, and not by an effect.
    pub aside: Vec<(Offset, Fate)>,
    /// Messages that had waited; `None`: applied now.
    pub again: Vec<(Offset, Option<Fate>)>,
}

/// Where a process stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standstill {
    /// What of it.
    pub what: Standing,
    /// Why; `None`: it goes on.
    pub cause: Option<String>,
}

/// What of a subscription waits in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// All of it, since something is away that handlers need.
    All,
    /// Messages wait for a limit; it goes on as fast as that allows.
    Limit,
    /// A partition.
    Partition(Partition),
}

/// What becomes of a message that was not applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is tried again.
    Retry {
        /// The attempt to be made then.
        attempt: u32,
        /// When.
        due: SystemTime,
        /// What the last attempt said.
        error: String,
        /// Later messages of its key wait behind it.
        parks: bool,
        /// It may have killed the process that ran it.
        is_suspect: bool,
    },
    /// It waits behind an earlier message of its key.
    Parked,
    /// A dead letter.
    Dead {
        /// The attempts that were made.
        attempts: u32,
        /// Why it was given up.
        reason: Reason,
        /// What the last attempt said.
        error: String,
    },
    /// Dropped and counted, for this reason.
    Discarded(String),
}

/// Why a message became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its last attempt failed.
    Attempts,
    /// A handler rejected it.
    Rejected,
    /// Its bytes are not what its kind says.
    Undecodable,
    /// The process that ran it died, each time.
    Killed,
    /// Its time was over before it was handled.
    Expired,
}

impl Reason {
    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::Rejected => "rejected",
            Self::Undecodable => "undecodable",
            Self::Killed => "killed",
            Self::Expired => "expired",
        }
    }
}

/// What became of a settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It stands, once the transaction commits; these keys are parked no more.
    All(Vec<(Partition, Key)>),
    /// These partitions have a newer owner: drop them.
    Fenced(Vec<Partition>),
    /// The subscription's row names other kinds than the caller knew: judge the messages anew.
    Kinds(Vec<String>),
}

/// Messages that waited, and whose time has come.
#[derive(Clone, Debug, Default)]
pub struct Due {
    /// Of each partition and key, its next messages in order.
    pub chains: Vec<Vec<Waiting>>,
    /// When the next one is due that is not among them.
    pub next: Option<SystemTime>,
}

/// A message that waited.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its partition.
    pub partition: Partition,
    /// Its place in the log.
    pub offset: Offset,
    /// The attempt to be made.
    pub attempt: u32,
    /// It may have killed the process that ran it: it runs alone, its attempt stored before.
    pub is_suspect: bool,
    /// The message.
    pub envelope: Envelope,
}

impl Waiting {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.envelope.id
    }
}

/// Who is to blame for an error of a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The message, as far as one can tell: an attempt is counted.
    Message,
    /// The database is busy, away or full: all wait, and no attempt is counted.
    Outage,
    /// A table, a column or a permission is missing: as an outage, until a migration has run.
    Missing,
}

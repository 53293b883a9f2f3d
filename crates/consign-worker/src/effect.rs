//! The ledger first, then the effect, in one transaction: both or neither.

use crate::pulse::Pulse;
use crate::stop::Stop;
use crate::subscription::kept;
use consign_core::{
    Advance, Advanced, Batch, BoxError, Error, Event, HandlerResult, Key, Ledger, Lent, Partition,
    Projection, QueueLedger, Settle, Settled, SubscriptionId, Tx, Verdict,
};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

/// Who works: a projection under its subscription's name.
#[derive(Debug)]
pub(crate) struct Subject<P> {
    pub(crate) name: String,
    pub(crate) of: SubscriptionId,
    pub(crate) projection: Arc<P>,
    /// How long one call may take.
    pub(crate) timeout: Duration,
    pub(crate) stop: Stop,
    /// Beats with each call.
    pub(crate) pulse: Pulse,
}

/// What became of a batch.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Committed; these keys are parked no more.
    Applied(Vec<(Partition, Key)>),
    /// These partitions have a newer owner.
    Fenced(Vec<Partition>),
    /// The subscription's row names other kinds than were known.
    Kinds(Vec<String>),
    /// Rolled back.
    Failed(Verdict),
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        Self::Failed(Verdict::Retry(blamed(error)))
    }
}

/// What only a handler's own doing makes the ledger answer.
const DOINGS: [&str; 4] = ["transaction-left", "transaction-nested", "tx-kept", "database"];

/// An error of the ledger, such that no message is blamed for what no handler did.
pub(crate) fn blamed(error: Error) -> BoxError {
    if DOINGS.contains(&error.code()) {
        return error.into();
    }
    Error::new(Error::OUTAGE, error.to_string()).caused_by(error).into()
}

/// What a transaction writes into the ledger beside the effect.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry<'a> {
    /// The cursors' moves: all is well.
    Moves(&'a [Advance]),
    /// The same, with messages that were put aside, or that had waited.
    Settle(&'a [Settle]),
}

/// Applies messages and moves the cursors over them.
pub(crate) async fn apply<L, P>(
    ledger: &L,
    subject: &Subject<P>,
    (events, entry): (Vec<Event<P::Event>>, Entry<'_>),
    kinds: &[String],
) -> Outcome
where
    L: QueueLedger,
    P: Projection<Tx<L::Connection>>,
{
    let mut tx = match subject.begin(ledger).await {
        Ok(tx) => tx,
        Err(error) => return error.into(),
    };
    let unparked = match enter(ledger, &mut tx, subject.of, entry, kinds).await {
        Ok(unparked) => unparked,
        Err(refused) => {
            ledger.rollback(tx).await;
            return refused;
        }
    };
    let applied = |committed: consign_core::Result| match committed {
        Ok(()) => Outcome::Applied(unparked),
        Err(error) => error.into(),
    };
    if events.is_empty() {
        return applied(ledger.commit(tx).await);
    }
    let batch = Batch::new(events);
    match subject.lend::<L, _, _>(tx, |tx| subject.projection.apply(batch, tx)).await {
        Ok((tx, Ok(()))) => applied(ledger.commit(tx).await),
        Ok((tx, Err(verdict))) => {
            ledger.rollback(tx).await;
            Outcome::Failed(verdict)
        }
        Err(error) => error.into(),
    }
}

async fn enter<L: QueueLedger>(
    ledger: &L,
    tx: &mut L::Transaction,
    of: SubscriptionId,
    entry: Entry<'_>,
    kinds: &[String],
) -> Result<Vec<(Partition, Key)>, Outcome> {
    match entry {
        Entry::Moves(moves) => match ledger.advance(tx, moves, kinds).await? {
            Advanced::All => Ok(Vec::new()),
            Advanced::Fenced(partitions) => Err(Outcome::Fenced(partitions)),
            Advanced::Kinds(kinds) => Err(Outcome::Kinds(kinds)),
        },
        Entry::Settle(parts) => match ledger.settle(tx, of, parts, kinds).await? {
            Settled::All(unparked) => Ok(unparked),
            Settled::Fenced(partitions) => Err(Outcome::Fenced(partitions)),
            Settled::Kinds(kinds) => Err(Outcome::Kinds(kinds)),
        },
    }
}

impl<P> Subject<P> {
    /// Begins a transaction; once the end is asked for, it is not waited for much longer.
    pub(crate) async fn begin<L: Ledger>(
        &self,
        ledger: &L,
    ) -> consign_core::Result<L::Transaction> {
        self.stop.grace(ledger.begin(self.of)).await
    }

    /// Lends a transaction to the projection and takes it back, whatever the projection does.
    pub(crate) async fn lend<L, T, F>(
        &self,
        tx: L::Transaction,
        call: impl FnOnce(Tx<L::Connection>) -> F,
    ) -> consign_core::Result<(L::Transaction, HandlerResult<T>)>
    where
        L: Ledger,
        F: Future<Output = HandlerResult<T>>,
    {
        self.pulse.beat();
        let (lent, tx) = Lent::lend(tx);
        let verdict = match tokio::time::timeout(self.timeout, caught(call, tx)).await {
            Ok(verdict) => verdict,
            Err(_) => Err(format!("it took longer than {:?}", self.timeout).into()),
        };
        Ok((lent.take_back().map_err(|_| kept(&self.name))?, verdict))
    }

    /// Lends a snapshot, which nobody waits for: the call may take as long as it likes, until the
    /// end is asked for.
    pub(crate) async fn lend_snapshot<L, T, F>(
        &self,
        snapshot: L::Transaction,
        call: impl FnOnce(Tx<L::Connection>) -> F,
    ) -> consign_core::Result<HandlerResult<T>>
    where
        L: Ledger,
        F: Future<Output = HandlerResult<T>>,
    {
        let (_lent, tx) = Lent::lend(snapshot);
        self.pulse.resting(self.stop.grace(async { Ok(caught(call, tx).await) })).await
    }
}

async fn caught<C, T, F: Future<Output = HandlerResult<T>>>(
    call: impl FnOnce(C) -> F,
    tx: C,
) -> HandlerResult<T> {
    let called = AssertUnwindSafe(async { call(tx).await }).catch_unwind();
    called.await.unwrap_or_else(|panic| Err(format!("it panicked: {}", panic_text(&*panic)).into()))
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

//! The ledger first, then the effect, in one transaction: both or neither.

use crate::stop::Stop;
use crate::subscription::kept;
use consign_core::{
    Advance, Advanced, Batch, BoxError, Error, Event, HandlerResult, Ledger, Lent, Partition,
    Projection, SubscriptionId, Tx,
};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// Who works: a projection under its subscription's name.
#[derive(Debug)]
pub(crate) struct Subject<P> {
    pub(crate) name: String,
    pub(crate) of: SubscriptionId,
    pub(crate) projection: P,
    /// How long one call may take.
    pub(crate) timeout: Duration,
    pub(crate) stop: Stop,
}

/// What became of a batch.
#[derive(Debug)]
pub(crate) enum Outcome {
    Applied,
    /// These partitions have a newer owner.
    Fenced(Vec<Partition>),
    /// The subscription's row names other kinds than were known.
    Kinds(Vec<String>),
    /// Rolled back.
    Failed(BoxError),
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Applies messages and moves the cursors over them.
pub(crate) async fn apply<L, P>(
    ledger: &L,
    subject: &Subject<P>,
    (events, moves): (Vec<Event<P::Event>>, &[Advance]),
    kinds: &[String],
) -> Outcome
where
    L: Ledger,
    P: Projection<Tx<L::Connection>>,
{
    let mut tx = match subject.begin(ledger).await {
        Ok(tx) => tx,
        Err(error) => return error.into(),
    };
    let advanced = ledger.advance(&mut tx, moves, kinds).await;
    let refused = match advanced {
        Ok(Advanced::All) => None,
        Ok(Advanced::Fenced(partitions)) => Some(Outcome::Fenced(partitions)),
        Ok(Advanced::Kinds(kinds)) => Some(Outcome::Kinds(kinds)),
        Err(error) => Some(error.into()),
    };
    if let Some(refused) = refused {
        ledger.rollback(tx).await;
        return refused;
    }
    if events.is_empty() {
        return committed(ledger.commit(tx).await);
    }
    let batch = Batch::new(events);
    match subject.lend::<L, _, _>(tx, |tx| subject.projection.apply(batch, tx)).await {
        Ok((tx, Ok(()))) => committed(ledger.commit(tx).await),
        Ok((tx, Err(verdict))) => {
            ledger.rollback(tx).await;
            Outcome::Failed(verdict.into_error())
        }
        Err(error) => error.into(),
    }
}

fn committed(committed: consign_core::Result) -> Outcome {
    committed.map_or_else(Outcome::from, |()| Outcome::Applied)
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
        self.stop.grace(async { Ok(caught(call, tx).await) }).await
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

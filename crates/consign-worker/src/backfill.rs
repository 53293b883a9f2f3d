//! Brings in what was there before a subscription, each row once, beside those who publish.

use crate::effect::Subject;
use consign_core::{
    Backfill, Error, Ledger, Load, Offset, Partition, Progress, Projection, Result, Resume,
    SubscriptionId, Tx, Verdict,
};
use std::time::Duration;
use tokio::time::Instant;

/// Pieces that are shorter share a transaction for so long.
const HOLD: Duration = Duration::from_micros(1_500);

/// Where a subscription begins that has nothing to bring in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// At the log's start.
    LogStart,
    /// Whoever runs it will say: nothing is placed.
    Unplaced,
}

/// Makes one step; `true` when events may be applied.
///
/// Several processes may do it at once: each step looks at the stored progress under the write
/// lock, so none is made twice and none is left out.
pub(crate) async fn step<L, P>(
    ledger: &L,
    subject: &Subject<P>,
    otherwise: Otherwise,
) -> Result<bool>
where
    L: Ledger,
    P: Projection<Tx<L::Connection>>,
{
    let mut snapshot = ledger.snapshot().await?;
    match ledger.progress(&mut snapshot, subject.of).await? {
        Progress::Running => Ok(true),
        Progress::Backfilling(_) => piece(ledger, subject, otherwise).await,
        found @ (Progress::New | Progress::Rebuild) => {
            let cursors = ledger.ends(&mut snapshot, subject.of).await?;
            let call = |tx| subject.projection.load(tx);
            let load = subject.lend_snapshot::<L, _, _>(snapshot, call).await?;
            match load.map_err(failed)? {
                Some(load) => write(ledger, subject, load, (&cursors, &found)).await,
                None => piece(ledger, subject, otherwise).await,
            }
        }
    }
}

type Ends = [(Partition, Offset)];

/// Writes what was read in a snapshot; the cursors are the snapshot's.
async fn write<L, P>(
    ledger: &L,
    subject: &Subject<P>,
    load: Load<Tx<L::Connection>>,
    (cursors, found): (&Ends, &Progress),
) -> Result<bool>
where
    L: Ledger,
    P: Projection<Tx<L::Connection>>,
{
    let mut tx = subject.begin(ledger).await?;
    if ledger.progress(&mut tx, subject.of).await? != *found {
        // Another process was quicker: its snapshot counts, not ours.
        ledger.rollback(tx).await;
        return Ok(false);
    }
    if *found == Progress::Rebuild {
        ledger.restart(&mut tx, subject.of, cursors).await?;
        tx = reset(ledger, subject, tx).await?;
    }
    ledger.place(&mut tx, subject.of, cursors, &Progress::Running).await?;
    let (tx, written) = subject.lend::<L, _, _>(tx, |tx| load.write(tx)).await?;
    end(ledger, tx, written.map(|()| true)).await
}

/// Empties the read model.
async fn reset<L, P>(ledger: &L, subject: &Subject<P>, tx: L::Transaction) -> Result<L::Transaction>
where
    L: Ledger,
    P: Projection<Tx<L::Connection>>,
{
    let (tx, emptied) = subject.lend::<L, _, _>(tx, |tx| subject.projection.reset(tx)).await?;
    match emptied {
        Ok(()) => Ok(tx),
        Err(verdict) => {
            ledger.rollback(tx).await;
            Err(failed(verdict))
        }
    }
}

/// A transaction of pieces. The first one's cursors are where the log ends in it.
async fn piece<L, P>(ledger: &L, subject: &Subject<P>, otherwise: Otherwise) -> Result<bool>
where
    L: Ledger,
    P: Projection<Tx<L::Connection>>,
{
    let (mut tx, begun) = (subject.begin(ledger).await?, Instant::now());
    let found = ledger.progress(&mut tx, subject.of).await?;
    let is_anew = found == Progress::Rebuild;
    let mut resume = match found {
        Progress::New | Progress::Rebuild => None,
        Progress::Backfilling(resume) => Some(resume),
        Progress::Running => {
            ledger.rollback(tx).await;
            return Ok(true);
        }
    };
    let cursors = ledger.ends(&mut tx, subject.of).await?;
    if is_anew {
        tx = reset(ledger, subject, tx).await?;
    }
    let starts;
    loop {
        let from = resume.clone();
        let call = |tx| subject.projection.backfill(from, tx);
        let answer;
        (tx, answer) = subject.lend::<L, _, _>(tx, call).await?;
        let (progress, cursors, done) = match answer {
            Ok(Backfill::None)
                if otherwise == Otherwise::Unplaced && resume.is_none() && !is_anew =>
            {
                ledger.rollback(tx).await;
                return Ok(true);
            }
            Ok(Backfill::None) if is_anew => {
                let Some(from) = replay(ledger, &mut tx, subject.of, otherwise).await? else {
                    ledger.rollback(tx).await;
                    return refuse(ledger, subject).await;
                };
                starts = from;
                (Progress::Running, &starts[..], true)
            }
            Ok(Backfill::None) => (Progress::Running, &[][..], true),
            Ok(Backfill::Done) => (Progress::Running, &cursors[..], true),
            Ok(Backfill::More(next)) => {
                resume = Some(next.checked()?);
                if begun.elapsed() < HOLD {
                    continue;
                }
                (Progress::Backfilling(place(resume)), &cursors[..], false)
            }
            Err(verdict) => return end(ledger, tx, Err(verdict)).await,
        };
        if is_anew {
            ledger.restart(&mut tx, subject.of, cursors).await?;
        }
        ledger.place(&mut tx, subject.of, cursors, &progress).await?;
        return end(ledger, tx, Ok(done)).await;
    }
}

/// Where the log is read from that fills a read model without a backfill: its start, or where the
/// queue began; `None`: it no longer reaches back to there.
async fn replay<L: Ledger>(
    ledger: &L,
    tx: &mut L::Transaction,
    of: SubscriptionId,
    otherwise: Otherwise,
) -> Result<Option<Vec<(Partition, Offset)>>> {
    match otherwise {
        Otherwise::LogStart => Ok(ledger.is_whole(tx, of).await?.then(Vec::new)),
        Otherwise::Unplaced => ledger.began(tx, of).await,
    }
}

/// Without a backfill the log alone could fill it, and has lost its beginning.
async fn refuse<L: Ledger, P>(ledger: &L, subject: &Subject<P>) -> Result<bool> {
    let why = "its projection has no backfill, and the log no longer reaches back to its start, \
               since retention has removed what is old: give it a backfill";
    tracing::error!(subscription = subject.name, "it is not rebuilt: {why}");
    ledger.refuse_rebuild(subject.of, why).await.map(|()| false)
}

fn place(resume: Option<Resume>) -> Resume {
    resume.expect("set before")
}

async fn end<L: Ledger>(
    ledger: &L,
    tx: L::Transaction,
    answer: Result<bool, Verdict>,
) -> Result<bool> {
    match answer {
        Ok(done) => ledger.commit(tx).await.map(|()| done),
        Err(verdict) => {
            ledger.rollback(tx).await;
            Err(failed(verdict))
        }
    }
}

fn failed(verdict: Verdict) -> Error {
    let source = verdict.into_error();
    Error::new("backfill", format!("the backfill failed: {source}")).caused_by(source)
}

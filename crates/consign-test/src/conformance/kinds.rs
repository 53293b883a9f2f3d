//! Nobody skips a kind that another process has named meanwhile.

use super::Kept;
use super::probe::publish_and_find;
use super::report::same;
use super::subject::Subject;
use super::worker::{End, Worker, passes};
use consign_core::{Advanced, Ledger, QueueLedger, Reads, Settled};

pub(super) const NAME: &str = "who knows other kinds than the subscription names is told so";

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let published = publish_and_find(s, 1).await?;
    let worker = Worker::start(s, Reads::Queue).await?;
    let owned = worker.at(published[0].partition)?;
    let outdated = vec!["conformance.before".to_owned()];
    let named = super::worker::kinds();
    let mut tx = worker.ledger.begin(worker.of).await?;
    let advance = worker.advance(owned, published[0].after(), 1);
    let advanced = worker.ledger.advance(&mut tx, &[advance], &outdated).await?;
    same("what becomes of a move", &advanced, &Advanced::Kinds(named.clone()))?;
    worker.ledger.rollback(tx).await;
    let mut tx = worker.ledger.begin(worker.of).await?;
    let part = passes(owned, published[0].after());
    let settled = worker.ledger.settle(&mut tx, worker.of, &[part], &outdated).await?;
    same("what becomes of a settlement", &settled, &Settled::Kinds(named))?;
    worker.ledger.rollback(tx).await;
    let part = passes(owned, published[0].after());
    let settled = worker.settle(s, part, None, End::Commit).await?;
    same("what becomes of it with the right kinds", &settled, &Settled::All(vec![]))
}

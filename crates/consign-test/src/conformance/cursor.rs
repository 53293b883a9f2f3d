//! A cursor moves from where it stands, and never twice from one place.

use super::Kept;
use super::probe::publish_and_find;
use super::report::same;
use super::subject::Subject;
use super::worker::{Worker, kinds};
use consign_core::{Advanced, Ledger, Reads};

pub(super) const NAME: &str = "a cursor never moves twice from one place";

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let published = publish_and_find(s, 2).await?;
    let worker = Worker::start(s, Reads::Stream).await?;
    let owned = worker.at(published[0].partition)?;
    let fenced = Advanced::Fenced(vec![owned.partition]);
    for (to, wanted) in [(0, Advanced::All), (0, fenced.clone()), (1, fenced)] {
        let mut tx = worker.ledger.begin(worker.of).await?;
        let advance = worker.advance(owned, published[to].after(), to as u64 + 1);
        let advanced = worker.ledger.advance(&mut tx, &[advance], &kinds()).await?;
        same("what becomes of a move", &advanced, &wanted)?;
        if advanced == Advanced::All {
            worker.ledger.commit(tx).await?;
        } else {
            worker.ledger.rollback(tx).await;
        }
    }
    worker.release().await?;
    let next = Worker::start(s, Reads::Stream).await?;
    same("the cursor", &next.at(owned.partition)?.cursor, &published[0].after())
}

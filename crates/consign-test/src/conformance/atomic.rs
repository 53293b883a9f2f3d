//! An effect and its cursor's move stand together, or neither does.

use super::Kept;
use super::probe::publish_and_find;
use super::report::same;
use super::subject::Subject;
use super::worker::{End, Worker, kinds};
use consign_core::{Advanced, Ledger, Reads};

pub(super) const NAME: &str = "an effect and its cursor commit together or not at all";

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let published = publish_and_find(s, 2).await?;
    let partition = published[0].partition;
    for (end, effects) in [(End::RollBack, vec![]), (End::Drop, vec![]), (End::Commit, vec![7])] {
        let worker = Worker::start(s, Reads::Stream).await?;
        let owned = worker.at(partition)?;
        let mut tx = worker.ledger.begin(worker.of).await?;
        let advance = worker.advance(owned, published[1].after(), 2);
        let advanced = worker.ledger.advance(&mut tx, &[advance], &kinds()).await?;
        same("what becomes of the move", &advanced, &Advanced::All)?;
        s.affect(&mut tx, 7).await?;
        match end {
            End::Commit => worker.ledger.commit(tx).await?,
            End::RollBack => worker.ledger.rollback(tx).await,
            End::Drop => drop(tx),
        }
        worker.ledger.leave().await?;
        let next = Worker::start(s, Reads::Stream).await?;
        let wanted = if end == End::Commit { published[1].after() } else { owned.cursor };
        same(&format!("the cursor after {end:?}"), &next.at(partition)?.cursor, &wanted)?;
        same(&format!("the effects after {end:?}"), &s.effects().await, &effects)?;
        next.ledger.leave().await?;
    }
    Ok(())
}

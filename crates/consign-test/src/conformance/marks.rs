//! What is finished above the cursor is known to the next owner.

use super::Kept;
use super::probe::publish_and_find;
use super::report::{Broken, same};
use super::subject::Subject;
use super::worker::{End, Worker, passes};
use consign_core::{Offset, Partition, QueueLedger, Reads, Settle, Settled};

pub(super) const NAME: &str = "what is finished above the cursor is known to the next owner";

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let published = publish_and_find(s, 5).await?;
    let partition = published[0].partition;
    let first = Worker::start(s, Reads::Queue).await?;
    let owned = first.at(partition)?;
    let marks = [1, 2, 4].map(|nth| published[nth].offset);
    let part = Settle { marks: marks.to_vec(), ..passes(owned, owned.cursor) };
    let settled = first.settle(s, part, None, End::Commit).await?;
    same("what becomes of the marks", &settled, &Settled::All(vec![]))?;
    first.release().await?;
    let second = Worker::start(s, Reads::Queue).await?;
    same(
        "the marks that the next owner finds",
        &found(&second, partition).await?,
        &marks.to_vec(),
    )?;
    // The cursor passes what is finished without a gap, and its marks go.
    let part = passes(second.at(partition)?, published[3].offset);
    let settled = second.settle(s, part, None, End::Commit).await?;
    same("what becomes of the cursor's move", &settled, &Settled::All(vec![]))?;
    let left = found(&second, partition).await?;
    same("the marks that are left", &left, &vec![published[4].offset])?;
    second.release().await?;
    let third = Worker::start(s, Reads::Queue).await?;
    same("the cursor", &third.at(partition)?.cursor, &published[3].offset)
}

async fn found<S: Subject>(
    worker: &Worker<S>,
    partition: Partition,
) -> Result<Vec<Offset>, Broken> {
    let found = worker.ledger.unfinished(worker.of, &[partition]).await?;
    Ok(found.into_iter().flat_map(|found| found.marks).collect())
}

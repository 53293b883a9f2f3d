//! A subscription's cursors are placed once, where it was said, else at the start.

use super::Kept;
use super::probe::publish_and_find;
use super::report::same;
use super::subject::Subject;
use super::worker::{Worker, subscription};
use consign_core::{Ledger, Offset, Partition, Progress, Reads};

pub(super) const NAME: &str = "cursors begin where they were placed, else at the start";

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let published = publish_and_find(s, 3).await?;
    let (partition, place) = (published[2].partition, published[2].offset);
    let (ledger, _) = s.process().await;
    let of = ledger.subscribe(&subscription(s, Reads::Queue)?).await?;
    ledger.join(&[of]).await?;
    let mut tx = ledger.begin(of).await?;
    same("how far a new one is", &ledger.progress(&mut tx, of).await?, &Progress::New)?;
    ledger.place(&mut tx, of, &[(partition, place)], &Progress::Running).await?;
    ledger.commit(tx).await?;
    ledger.leave().await?;
    let worker = Worker::start(s, Reads::Queue).await?;
    for owned in &worker.owned {
        let wanted = if owned.partition == partition { place } else { Offset(0) };
        same(&format!("the cursor of partition {}", owned.partition), &owned.cursor, &wanted)?;
    }
    let taken = worker.owned.iter().map(|owned| owned.partition).collect::<Vec<_>>();
    same("the partitions", &taken, &(0..s.partitions()).map(Partition).collect())
}

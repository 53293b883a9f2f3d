//! What a dead process owned is taken over, and what it had open is gone.

use super::Kept;
use super::probe::publish_and_find;
use super::report::{Broken, same};
use super::subject::Subject;
use super::worker::{End, Worker, passes};
use consign_core::{Ledger, Reads, Settled};
use std::time::Duration;
use tokio::time::Instant;

pub(super) const NAME: &str = "the partitions of a dead process are taken over where it was";
/// From when others can know that it is dead.
const TAKEN_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let published = publish_and_find(s, 3).await?;
    let partition = published[0].partition;
    let dead = Worker::start(s, Reads::Queue).await?;
    let part = passes(dead.at(partition)?, published[1].after());
    let settled = dead.settle(s, part, Some(1), End::Commit).await?;
    same("what becomes of the first messages", &settled, &Settled::All(vec![]))?;
    let before = dead.epoch(partition)?;
    s.kill(dead.ledger).await;
    let mut next = Worker::join(s, Reads::Queue).await?;
    let until = Instant::now() + TAKEN_WITHIN;
    while next.owned.len() < usize::from(s.partitions()) {
        if Instant::now() > until {
            return Err(Broken::new(format!("{} partitions are free", next.owned.len())));
        }
        next.ledger.members(next.of).await?;
        next.take().await?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let owned = next.at(partition)?;
    same("the cursor that is taken over", &owned.cursor, &published[1].after())?;
    same("whether the epoch has grown", &(owned.epoch > before), &true)
}

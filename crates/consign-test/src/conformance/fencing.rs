//! Under an older epoch nothing is changed any more.

use super::Kept;
use super::probe::publish_and_find;
use super::report::same;
use super::subject::Subject;
use super::worker::{End, Worker, kinds, passes};
use consign_core::{Advanced, Ledger, Reads, Settle, Settled};

pub(super) const NAME: &str = "an owner of an older epoch changes nothing";

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let published = publish_and_find(s, 2).await?;
    let partition = published[0].partition;
    let late = Worker::start(s, Reads::Queue).await?;
    let owned = late.at(partition)?;
    late.release().await?;
    let newest = Worker::start(s, Reads::Queue).await?;
    let mut tx = late.ledger.begin(late.of).await?;
    let advance = late.advance(owned, published[0].after(), 1);
    let advanced = late.ledger.advance(&mut tx, &[advance], &kinds()).await?;
    same("what becomes of a late move", &advanced, &Advanced::Fenced(vec![partition]))?;
    late.ledger.rollback(tx).await;
    let wanted = Settled::Fenced(vec![partition]);
    let mark = Settle { marks: vec![published[1].offset], ..passes(owned, owned.cursor) };
    let settled = late.settle(s, mark, Some(1), End::Commit).await?;
    same("what becomes of a late mark", &settled, &wanted)?;
    same("the effects", &s.effects().await, &vec![])?;
    let part = passes(newest.at(partition)?, published[1].after());
    let settled = newest.settle(s, part, Some(1), End::Commit).await?;
    same("what becomes of the owner's", &settled, &Settled::All(vec![]))?;
    same("the effects", &s.effects().await, &vec![1])
}

//! An effect and its settlement stand together, or neither does; and no effect stands twice.

use super::Kept;
use super::probe::publish_and_find;
use super::report::same;
use super::subject::Subject;
use super::worker::{End, Worker, passes};
use consign_core::{Reads, Settle, Settled};

pub(super) const NAME: &str = "an effect and its settlement commit together, once";

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let published = publish_and_find(s, 2).await?;
    let worker = Worker::start(s, Reads::Queue).await?;
    let owned = worker.at(published[0].partition)?;
    let mark = || Settle { marks: vec![published[1].offset], ..passes(owned, owned.cursor) };
    for end in [End::RollBack, End::Drop] {
        worker.settle(s, mark(), Some(1), end).await?;
        same(&format!("the effects after {end:?}"), &s.effects().await, &vec![])?;
    }
    let settled = worker.settle(s, mark(), Some(1), End::Commit).await?;
    same("what becomes of it then", &settled, &Settled::All(vec![]))?;
    same("the effects", &s.effects().await, &vec![1])?;
    let settled = worker.settle(s, mark(), Some(1), End::Commit).await?;
    same("what becomes of it again", &settled, &Settled::Fenced(vec![owned.partition]))?;
    same("the effects", &s.effects().await, &vec![1])
}

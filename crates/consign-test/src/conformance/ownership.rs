//! A partition has one living owner, and its epoch grows with each.

use super::Kept;
use super::report::{Broken, same};
use super::subject::Subject;
use super::worker::Worker;
use consign_core::{Ledger, Partition, Reads};

pub(super) const NAME: &str = "a partition has one owner and its epoch grows";

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let first = Worker::start(s, Reads::Stream).await?;
    let all = (0..s.partitions()).map(Partition).collect::<Vec<_>>();
    let mine = first.owned.iter().map(|owned| owned.partition).collect::<Vec<_>>();
    same("what the first one takes", &mine, &all)?;
    let mut second = Worker::start(s, Reads::Stream).await?;
    same("what a second one takes of it", &second.owned.len(), &0)?;
    let members = second.ledger.members(second.of).await?;
    same("who is alive", &members.workers.len(), &2)?;
    let owners = members.partitions.iter().filter(|member| member.owner.is_some()).count();
    same("the partitions that are owned", &owners, &all.len())?;
    first.ledger.release(first.of, &all[..1]).await?;
    second.take().await?;
    let taken = second.owned.iter().map(|owned| owned.partition).collect::<Vec<_>>();
    same("what the second one takes of what was handed over", &taken, &all[..1].to_vec())?;
    let (before, after) = (first.epoch(all[0])?, second.epoch(all[0])?);
    if after <= before {
        return Err(Broken::new(format!("epoch {after} follows {before}")));
    }
    first.ledger.leave().await?;
    second.take().await?;
    same("what is free when the first one has left", &second.owned.len(), &all.len())
}

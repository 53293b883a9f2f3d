//! Shares partitions evenly: takes what is free or dead, hands over what is too much.

use consign_core::{
    Epoch, Member, Members, Owned, Partition, QueueLedger, Result, SubscriptionId, Unfinished,
    WorkerId,
};
use std::time::Duration;

/// How often a process looks who is there, and what is asked for.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What to do so that every worker has its share.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Owned by somebody else by now.
    pub(crate) lost: Vec<Partition>,
    /// To be handed over.
    pub(crate) release: Vec<Partition>,
    /// To be taken.
    pub(crate) take: Vec<Partition>,
}

/// Compares who is there with what this process has.
///
/// Every worker computes the same shares from the same rows: partitions ÷ workers, the first ones
/// one more. Whoever has too much hands over; only what nobody owns is taken. So many workers have a
/// share at most; the others stand by.
pub(crate) fn plan(
    members: &Members,
    me: WorkerId,
    mine: &[Partition],
    workers_max: usize,
) -> Plan {
    let owned_by_me = |partition: &Partition| {
        members.partitions.iter().any(|m| m.partition == *partition && m.owner == Some(me))
    };
    let (kept, lost): (Vec<_>, Vec<_>) = mine.iter().copied().partition(owned_by_me);
    let share = share(members, me, workers_max);
    let release = kept.iter().copied().skip(share).collect();
    // Ours by the row, and yet not in our hands: taken anew, under a new epoch; also what is too
    // much, which is then handed over.
    let is_stray = |member: &&Member| member.owner == Some(me) && !mine.contains(&member.partition);
    let stray = members.partitions.iter().filter(is_stray).map(|member| member.partition);
    let stray = stray.collect::<Vec<_>>();
    let free = members.partitions.iter().filter(|member| member.owner.is_none());
    let missing = share.saturating_sub(kept.len() + stray.len());
    let free = free.map(|member| member.partition).take(missing);
    let take = stray.into_iter().chain(free).collect();
    Plan { lost, release, take }
}

/// Takes partitions, each with what is unfinished in it.
pub(crate) async fn take<L: QueueLedger>(
    ledger: &L,
    of: SubscriptionId,
    partitions: &[Partition],
) -> Result<Vec<(Owned, Unfinished)>> {
    let owned = ledger.take(of, partitions).await?;
    let taken = owned.iter().map(|owned| owned.partition).collect::<Vec<_>>();
    let mut unfinished = ledger.unfinished(of, &taken).await?;
    let with_found = |owned: Owned| {
        let found = unfinished.iter().position(|found| found.partition == owned.partition);
        (owned, unfinished.swap_remove(found.expect("asked for above")))
    };
    Ok(owned.into_iter().map(with_found).collect())
}

/// Executes what is asked for from outside, and answers what is unfinished where it changed
/// something.
pub(crate) async fn execute<L: QueueLedger>(
    ledger: &L,
    of: SubscriptionId,
    owned: &[(Partition, Epoch)],
) -> Result<Vec<Unfinished>> {
    let changed = ledger.execute(of, owned).await?;
    ledger.unfinished(of, &changed).await
}

fn share(members: &Members, me: WorkerId, workers_max: usize) -> usize {
    let Some(rank) = members.workers.iter().position(|worker| *worker == me) else { return 0 };
    let workers = members.workers.len().min(workers_max);
    if rank >= workers {
        return 0;
    }
    let partitions = members.partitions.len();
    partitions / workers + usize::from(rank < partitions % workers)
}

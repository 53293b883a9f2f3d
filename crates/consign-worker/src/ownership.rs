//! Shares partitions evenly: takes what is free or dead, hands over what is too much.

use consign_core::{Members, Partition, WorkerId};

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
/// one more. Whoever has too much hands over; only what nobody owns is taken.
pub(crate) fn plan(members: &Members, me: WorkerId, mine: &[Partition]) -> Plan {
    let owned_by_me = |partition: &Partition| {
        members.partitions.iter().any(|m| m.partition == *partition && m.owner == Some(me))
    };
    let (kept, lost): (Vec<_>, Vec<_>) = mine.iter().copied().partition(owned_by_me);
    let share = share(members, me);
    let release = kept.iter().copied().skip(share).collect();
    let is_free = |owner: Option<WorkerId>, partition: &Partition| match owner {
        None => true,
        // Ours by the row, and yet not in our hands: taken anew, under a new epoch.
        Some(owner) => owner == me && !mine.contains(partition),
    };
    let free = members.partitions.iter().filter(|m| is_free(m.owner, &m.partition));
    let missing = share.saturating_sub(kept.len());
    let take = free.map(|member| member.partition).take(missing).collect();
    Plan { lost, release, take }
}

fn share(members: &Members, me: WorkerId) -> usize {
    let Some(rank) = members.workers.iter().position(|worker| *worker == me) else { return 0 };
    let (partitions, workers) = (members.partitions.len(), members.workers.len());
    partitions / workers + usize::from(rank < partitions % workers)
}

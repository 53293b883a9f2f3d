//! Messages that waited, and whose time has come.

use super::mutant::Mutant;
use super::rows::{At, Wait};
use super::world::State;
use consign_core::{Due, Partition, SubscriptionId, Waiting};
use std::time::SystemTime;

/// What is due in these partitions, the oldest first.
pub(super) fn due(
    state: &State,
    of: SubscriptionId,
    partitions: &[Partition],
    max: usize,
    now: SystemTime,
) -> Due {
    let rows = &state.rows;
    let all = || partitions.iter().flat_map(|partition| rows.of_partition(of, *partition));
    let is_due = |(_, wait): &(&At, &Wait)| wait.due.is_some_and(|due| due <= now);
    let mut heads = all().filter(is_due).collect::<Vec<_>>();
    heads.retain(|head| is_head(state, *head));
    heads.sort_by_key(|(_, wait)| wait.due);
    let later = all().filter_map(|(_, wait)| wait.due.filter(|due| *due > now)).min();
    let left = heads.get(max).and_then(|(_, wait)| wait.due);
    let chains = heads.iter().take(max).map(|head| chain(state, *head, max, now)).collect();
    Due { chains, next: left.into_iter().chain(later).min() }
}

fn is_parked(state: &State, (of, partition, _): At, wait: &Wait) -> bool {
    let key = wait.key.clone().map(|key| (of, partition, key));
    key.is_some_and(|key| state.rows.parked.contains(&key))
}

/// Of a parked key only the first in the log may come.
fn is_head(state: &State, (at, wait): (&At, &Wait)) -> bool {
    let mut of_partition = state.rows.of_partition(at.0, at.1);
    let first = of_partition.find(|(_, other)| other.key == wait.key);
    !is_parked(state, *at, wait) || first.is_none_or(|(first, _)| first == at)
}

/// A message, and those of its key that come after it, until one has to wait or must run alone.
fn chain(state: &State, (at, wait): (&At, &Wait), max: usize, now: SystemTime) -> Vec<Waiting> {
    if !is_parked(state, *at, wait) {
        return vec![waiting(state, at, wait)];
    }
    let of_key = state.rows.of_partition(at.0, at.1).filter(|(_, other)| other.key == wait.key);
    let mut chain = Vec::new();
    for (at, wait) in of_key.take(max) {
        let waits = wait.due.is_some_and(|due| due > now);
        if !chain.is_empty() && (waits || wait.is_suspect) {
            break;
        }
        chain.push(waiting(state, at, wait));
        if wait.is_suspect {
            break;
        }
    }
    if state.rows.mutant == Some(Mutant::ChainReversed) {
        chain.reverse();
    }
    chain
}

fn waiting(state: &State, &(_, partition, offset): &At, wait: &Wait) -> Waiting {
    let envelope = state.log.at(partition, offset).expect("its row was made of it").clone();
    let Wait { attempt, is_suspect, .. } = *wait;
    Waiting { partition, offset, attempt, is_suspect, envelope }
}

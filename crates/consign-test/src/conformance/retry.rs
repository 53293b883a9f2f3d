//! A message that failed comes again when it is due, with its attempt, until it is applied.

use super::Kept;
use super::probe::publish_and_find;
use super::report::{Broken, same};
use super::subject::Subject;
use super::worker::{End, Worker, passes};
use consign_core::{Fate, Offset, QueueLedger, Reads, Settle, Settled};
use std::time::{Duration, SystemTime};

pub(super) const NAME: &str =
    "a message that failed comes again when it is due until it is applied";
const HOUR: Duration = Duration::from_hours(1);

/// A failure after which it is tried again then.
pub(super) fn failed(attempt: u32, due: SystemTime) -> Fate {
    Fate::Retry { attempt, due, error: "no".to_owned(), parks: true, is_suspect: false }
}

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let published = publish_and_find(s, 1).await?;
    let (partition, offset) = (published[0].partition, published[0].offset);
    let worker = Worker::start(s, Reads::Queue).await?;
    let (owned, now) = (worker.at(partition)?, QueueLedger::now(&worker.ledger));
    let aside = vec![(offset, failed(2, now))];
    let part = Settle { aside, ..passes(owned, published[0].after()) };
    let settled = worker.settle(s, part, None, End::Commit).await?;
    same("what becomes of a failure", &settled, &Settled::All(vec![]))?;
    same("what is due", &worker.due().await?, &vec![(offset, 2)])?;
    // It fails again, and waits for an hour.
    let again = |fate| Settle {
        again: vec![(offset, fate)],
        ..passes(after(owned, &published[0]), published[0].after())
    };
    worker.settle(s, again(Some(failed(3, now + HOUR))), None, End::Commit).await?;
    same("what is due before its time", &worker.due().await?, &vec![])?;
    let next = worker.ledger.due(worker.of, &[partition], 10).await?.next;
    let next = next.ok_or_else(|| Broken::new("nobody knows when it is due"))?;
    let error = next.duration_since(now + HOUR).unwrap_or_default();
    same("whether it is due in an hour", &(error < HOUR / 60 && next > now), &true)?;
    // It is applied then, once.
    let applied = worker.settle(s, again(None), Some(1), End::Commit).await?;
    same("whether it stands", &matches!(applied, Settled::All(_)), &true)?;
    let twice = worker.settle(s, again(None), Some(1), End::Commit).await?;
    same("what becomes of it again", &twice, &Settled::Fenced(vec![partition]))?;
    same("the effects", &s.effects().await, &vec![1])
}

/// The same ownership, when the cursor has passed a message.
pub(super) fn after(
    owned: consign_core::Owned,
    passed: &super::probe::Found,
) -> consign_core::Owned {
    consign_core::Owned { cursor: Offset(passed.offset.0 + 1), ..owned }
}

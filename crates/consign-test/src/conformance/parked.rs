//! Behind a message that failed, the later ones of its key wait, and come in order.

use super::Kept;
use super::probe::publish_and_find;
use super::report::{Broken, same};
use super::retry::{after, failed};
use super::subject::Subject;
use super::worker::{End, Worker, passes};
use consign_core::{Fate, Key, Partition, QueueLedger, Reads, Settle, Settled};

pub(super) const NAME: &str = "a key waits behind its failed message and drains in order";

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let published = publish_and_find(s, 3).await?;
    let partition = published[0].partition;
    let offsets = published.iter().map(|found| found.offset).collect::<Vec<_>>();
    let first = Worker::start(s, Reads::Queue).await?;
    let (owned, now) = (first.at(partition)?, QueueLedger::now(&first.ledger));
    let aside =
        vec![(offsets[0], failed(2, now)), (offsets[1], Fate::Parked), (offsets[2], Fate::Parked)];
    let part = Settle { aside, ..passes(owned, published[2].after()) };
    let settled = first.settle(s, part, None, End::Commit).await?;
    same("what becomes of them", &settled, &Settled::All(vec![]))?;
    first.release().await?;
    let newest = Worker::start(s, Reads::Queue).await?;
    let key = Key::new("a")?;
    same(
        "the keys that the next owner finds parked",
        &parked(&newest, partition).await?,
        &vec![key.clone()],
    )?;
    let due = [(offsets[0], 2), (offsets[1], 1), (offsets[2], 1)];
    same("what is due, in order", &newest.due().await?, &due.to_vec())?;
    let owned = after(newest.at(partition)?, &published[2]);
    let again =
        |nth: usize| Settle { again: vec![(offsets[nth], None)], ..passes(owned, owned.cursor) };
    for nth in [0, 1] {
        let settled = newest.settle(s, again(nth), None, End::Commit).await?;
        same("whether the key is parked still", &settled, &Settled::All(vec![]))?;
        same("what is due after that", &newest.due().await?, &due[nth + 1..].to_vec())?;
    }
    let settled = newest.settle(s, again(2), None, End::Commit).await?;
    same("what goes on with the last one", &settled, &Settled::All(vec![(partition, key)]))?;
    same("the keys that are parked", &parked(&newest, partition).await?, &vec![])
}

async fn parked<S: Subject>(worker: &Worker<S>, at: Partition) -> Result<Vec<Key>, Broken> {
    let found = worker.ledger.unfinished(worker.of, &[at]).await?;
    Ok(found.into_iter().flat_map(|found| found.parked).collect())
}

//! A message that is given up comes no more, and its key goes on.

use super::Kept;
use super::probe::publish_and_find;
use super::report::same;
use super::retry::{after, failed};
use super::subject::Subject;
use super::worker::{End, Worker, passes};
use consign_core::{Fate, QueueLedger, Reads, Reason, Settle, Settled};

pub(super) const NAME: &str = "a message that is given up comes no more and its key goes on";

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let published = publish_and_find(s, 2).await?;
    let (partition, now) = (published[0].partition, |w: &Worker<S>| QueueLedger::now(&w.ledger));
    let worker = Worker::start(s, Reads::Queue).await?;
    let owned = worker.at(partition)?;
    let (head, behind) = (published[0].offset, published[1].offset);
    let aside = vec![(head, failed(2, now(&worker))), (behind, Fate::Parked)];
    let part = Settle { aside, ..passes(owned, published[1].after()) };
    worker.settle(s, part, None, End::Commit).await?;
    let reason = Reason::Attempts;
    let dead = Fate::Dead { attempts: 2, reason, error: "no".to_owned() };
    let owned = after(owned, &published[1]);
    let part = Settle { again: vec![(head, Some(dead))], ..passes(owned, owned.cursor) };
    let settled = worker.settle(s, part, None, End::Commit).await?;
    same("what becomes of a death", &settled, &Settled::All(vec![]))?;
    same("what is due then", &worker.due().await?, &vec![(behind, 1)])?;
    let again = vec![(head, None)];
    let part = Settle { again, ..passes(owned, owned.cursor) };
    let settled = worker.settle(s, part, Some(1), End::Commit).await?;
    same("what becomes of an effect of the dead", &settled, &Settled::Fenced(vec![partition]))?;
    same("the effects", &s.effects().await, &vec![])
}

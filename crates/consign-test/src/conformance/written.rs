//! Whether a handler has written is known: what has not may fail without harm to others.

use super::Kept;
use super::report::same;
use super::subject::Subject;
use super::worker::Worker;
use consign_core::{Ledger, Purpose, QueueLedger, Reads};

pub(super) const NAME: &str = "whether a handler has written is known";

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let worker = Worker::start(s, Reads::Queue).await?;
    let ledger = &worker.ledger;
    let mut tx = ledger.begin_for(worker.of, Purpose::Handlers).await?;
    for writes in [false, true, false, true] {
        ledger.call_begins(&mut tx);
        if writes {
            s.affect(&mut tx, 1).await?;
        }
        same("whether it has written", &ledger.has_written(&mut tx).await, &writes)?;
    }
    ledger.rollback(tx).await;
    same("the effects of what was rolled back", &s.effects().await, &vec![])
}

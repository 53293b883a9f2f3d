//! Who starts again goes on where he was.

use super::Kept;
use super::probe::publish_and_find;
use super::report::same;
use super::subject::Subject;
use super::worker::{Worker, kinds};
use consign_core::{Ledger, Reads};

pub(super) const NAME: &str = "who starts again goes on where he was";

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let published = publish_and_find(s, 3).await?;
    let mut wanted = None;
    for message in &published {
        let worker = Worker::start(s, Reads::Stream).await?;
        let owned = worker.at(message.partition)?;
        let wanted_here = wanted.unwrap_or(owned.cursor);
        same("the cursor after a start", &owned.cursor, &wanted_here)?;
        let mut tx = worker.ledger.begin(worker.of).await?;
        let advance = worker.advance(owned, message.after(), 1);
        worker.ledger.advance(&mut tx, &[advance], &kinds()).await?;
        worker.ledger.commit(tx).await?;
        wanted = Some(message.after());
        worker.release().await?;
        worker.ledger.leave().await?;
    }
    Ok(())
}

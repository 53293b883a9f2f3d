//! Renews the lease of this process, on a task of its own.

use crate::stop::Stop;
use consign_core::{Ledger, Result, SubscriptionId, WorkerId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A third of the lease.
const EVERY: Duration = Duration::from_secs(10);
/// After a heartbeat that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Renews the lease until the end; under a new identity where it has run out.
pub(crate) async fn beat<L: Ledger>(
    ledger: Arc<L>,
    subscriptions: Vec<SubscriptionId>,
    me: watch::Sender<WorkerId>,
    mut stop: Stop,
) {
    let mut wait = EVERY;
    loop {
        tokio::select! {
            biased;
            () = stop.asked() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = match stop.grace(renew(&*ledger, &subscriptions, &me)).await {
            Ok(()) => EVERY,
            Err(error) => {
                tracing::warn!(%error, "the lease could not be renewed, trying again");
                AGAIN
            }
        };
    }
}

async fn renew<L: Ledger>(
    ledger: &L,
    subscriptions: &[SubscriptionId],
    me: &watch::Sender<WorkerId>,
) -> Result {
    if ledger.heartbeat().await? {
        return Ok(());
    }
    tracing::warn!("this process was stopped for longer than its lease: it joins anew");
    me.send_replace(ledger.join(subscriptions).await?);
    Ok(())
}

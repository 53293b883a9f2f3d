//! Lets the ledger remove what nobody needs any more, on a task of its own.

use crate::stop::Stop;
use consign_core::Ledger;
use std::sync::Arc;
use std::time::Duration;

/// How often the ledger is asked; it knows by its clock when it is time.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Asks until the end.
pub(crate) async fn run<L: Ledger>(ledger: Arc<L>, mut stop: Stop) {
    loop {
        tokio::select! {
            biased;
            () = stop.asked() => return,
            () = tokio::time::sleep(ASK_EVERY) => {}
        }
        let mut has_more = true;
        while has_more && !stop.is_asked() {
            has_more = stop.grace(ledger.retain()).await.unwrap_or_else(|error| {
                tracing::warn!(?error, "what nobody needs any more is removed later");
                false
            });
        }
    }
}

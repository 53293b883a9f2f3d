//! A projection at work for a queue: its backfill first, its upkeep beside.

use crate::backfill::{self, Otherwise};
use crate::backoff::Backoff;
use crate::effect::Subject;
use crate::handler::Applies;
use crate::queue::{self, Layers, Named};
use crate::queue_builder::QueueOptions;
use crate::subscription::Shared;
use crate::tidy::Tidy;
use consign_core::{Driver, Ledger, Projection, QueueLedger, Tx};
use std::sync::Arc;

/// Works until the end is asked for.
pub(crate) async fn run<L, D, P>(
    Named { name, of }: Named,
    projection: Arc<P>,
    (options, layers): (QueueOptions, Layers),
    shared: Shared<L, D>,
) where
    L: QueueLedger,
    D: Driver,
    P: Projection<Tx<L::Connection>>,
{
    let (timeout, stop, pulse) = (options.timeout, shared.stop.clone(), shared.pulse.clone());
    let subject = Arc::new(Subject { name: name.clone(), of, projection, timeout, stop, pulse });
    let (tidy, ledger) = (Arc::new(Tidy::default()), Arc::clone(&shared.ledger));
    let work = async {
        // Again after each time that its read model is to be built anew.
        while !shared.stop.is_asked() {
            bring_in(&*ledger, &subject, &tidy).await;
            let (subject, tidy) = (Arc::clone(&subject), Arc::clone(&tidy));
            let applies = Arc::new(Applies { subject, tidy });
            let named = Named { name: name.clone(), of };
            let with = (options, layers.clone());
            queue::run(named, applies, with, shared.clone()).await;
        }
    };
    tokio::join!(work, tidy.run(&*ledger, &subject));
}

/// Brings in what was there before, or builds the read model anew. Where there is nothing, the
/// queue begins as any other.
async fn bring_in<L, P>(ledger: &L, subject: &Subject<P>, tidy: &Tidy)
where
    L: Ledger,
    P: Projection<Tx<L::Connection>>,
{
    let (mut backoff, mut stop) = (Backoff::default(), subject.stop.clone());
    while !stop.is_asked() {
        match backfill::step(ledger, subject, Otherwise::Unplaced).await {
            Ok(true) => return,
            Ok(false) => {
                backoff = Backoff::default();
                tidy.tell(crate::upkeep::Due::filled);
            }
            Err(error) => {
                let wait = backoff.failed();
                let subscription = &subject.name;
                tracing::error!(subscription, ?error, "the backfill goes on in {wait:?}");
                subject.pulse.resting(stop.sleep(wait)).await;
            }
        }
    }
}

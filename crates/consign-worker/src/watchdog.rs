//! Builds a subscription's consumer anew when it has died, or does not move any more.

use crate::backoff::Backoff;
use crate::effect::panic_text;
use crate::pulse::Pulse;
use crate::subscription::{Shared, Subscription};
use consign_core::{Driver, QueueLedger, SubscriptionId};
use std::any::Any;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A consumer that shows no sign of life for this long, and for as long as one call may take, is
/// given up.
const STILL_MAX: Duration = Duration::from_secs(30);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// One that has lasted for this long was not built in vain: the next one need not wait.
const LASTED: Duration = Duration::from_mins(1);
/// To write that it was built anew may take so long, at most.
const NOTE_MAX: Duration = Duration::from_secs(10);

/// Runs a subscription until the end is asked for, with one consumer after the other.
///
/// One that is given up may be at work still, in code that never answers: what it owned is taken
/// under a new epoch, so that nothing of it counts.
pub(crate) async fn run<L, D>(
    subscription: Subscription<L, D>,
    (name, of): (String, SubscriptionId),
    mut shared: Shared<L, D>,
) where
    L: QueueLedger,
    D: Driver,
{
    let mut backoff = Backoff::default();
    while !shared.stop.is_asked() {
        shared.pulse = Pulse::default();
        let begun = Instant::now();
        let mut consumer = JoinSet::new();
        consumer.spawn(subscription.run(of, shared.clone()));
        let still_max = subscription.timeout().saturating_add(STILL_MAX);
        let why = tokio::select! {
            biased;
            why = ended(&mut consumer) => why,
            () = still(&shared.pulse, still_max) => {
                Some(format!("it has shown no sign of life for {still_max:?}"))
            }
        };
        drop(consumer);
        let Some(why) = why else { return };
        if begun.elapsed() > LASTED {
            backoff = Backoff::default();
        }
        let wait = backoff.failed();
        tracing::warn!(subscription = name, "its consumer is built anew in {wait:?}, since {why}");
        note(&*shared.ledger, &name, of).await;
        shared.stop.sleep(wait).await;
    }
}

/// Why it has ended; `None`: in order.
async fn ended(consumer: &mut JoinSet<()>) -> Option<String> {
    let panic = consumer.join_next().await?.err()?.try_into_panic().ok()?;
    let why = format!("it panicked: {}", panic_text(&*panic));
    forget(panic);
    Some(why)
}

/// What panicked once may do it again when it is dropped.
fn forget(panic: Box<dyn Any + Send>) {
    std::mem::forget(panic);
}

/// Waits until there was no beat for so long. It counts looks, not time: a process that was stopped
/// has missed both.
async fn still(pulse: &Pulse, still_max: Duration) {
    let (mut seen, mut still) = (None, Duration::ZERO);
    while still < still_max {
        tokio::time::sleep(LOOK_EVERY).await;
        let beats = pulse.beats();
        let is_still = beats.is_some() && beats == seen;
        still = if is_still { still + LOOK_EVERY } else { Duration::ZERO };
        seen = beats;
    }
}

async fn note<L: QueueLedger>(ledger: &L, subscription: &str, of: SubscriptionId) {
    let noted = tokio::time::timeout(NOTE_MAX, ledger.consumer_restarts(of)).await;
    match noted {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(subscription, %error, "that is not counted"),
        Err(_) => tracing::warn!(subscription, "that is not counted within {NOTE_MAX:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{LOOK_EVERY, Pulse, still};
    use std::time::Duration;
    use tokio::time::{Instant, sleep, timeout};

    const MAX: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn who_shows_no_sign_of_life_for_long_is_still_and_who_rests_is_not() {
        let (pulse, begun) = (Pulse::default(), Instant::now());
        let beats = async {
            for _ in 0..100 {
                pulse.beat();
                sleep(MAX / 2).await;
            }
            let long = pulse.resting(sleep(MAX * 100));
            long.await;
        };
        let lasts = MAX / 2 * 100 + MAX * 100;
        tokio::join!(beats, still(&pulse, MAX));
        let noticed = begun.elapsed();
        assert!(noticed + LOOK_EVERY >= lasts + MAX, "after {noticed:?}, and it lasts {lasts:?}");
        timeout(MAX * 2, still(&pulse, MAX)).await.expect("it is still from now on");
    }
}

//! Waiting until nothing is to be done.

use consign::Result;
use consign::sqlite::Consign;
use consign_core::Error;
use consign_sql::Outstanding;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Between two looks at the database.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until one look at the database finds nothing that is due `now`, until `until` at most.
pub(super) async fn idle(consign: &Consign, now: SystemTime, until: Instant) -> Result {
    loop {
        let waits = waits(&consign.log().outstanding().await?, now);
        if waits.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(not_idle(&waits));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What is to be done, a line each.
fn waits(found: &Outstanding, now: SystemTime) -> Vec<String> {
    let subscriptions = found.subscriptions.iter();
    let mut waits = subscriptions.map(|(name, why)| format!("{name}: {why}")).collect::<Vec<_>>();
    if found.is_promotion_due {
        waits.push("the schedule: a message is due, and not in the log".to_owned());
    }
    for (name, times, last) in &found.crons {
        if consign_worker::next_tick(times, *last).is_some_and(|due| due <= now) {
            waits.push(format!("the cron {name}: a tick is due, and not published"));
        }
    }
    waits
}

fn not_idle(waits: &[String]) -> Error {
    let message = format!(
        "the workers are not idle, and their time is over; what still waits:\n{}",
        waits.join("\n")
    );
    Error::new("not-idle", message)
}

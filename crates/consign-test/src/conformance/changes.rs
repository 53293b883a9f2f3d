//! Whoever waits is told of a commit of another process.

use super::Kept;
use super::probe::publish;
use super::report::Broken;
use super::subject::Subject;
use consign_core::Driver;
use std::time::Duration;

pub(super) const NAME: &str = "whoever waits is told of a commit";
/// A second is promised; a machine that is busy has longer.
const TOLD_WITHIN: Duration = Duration::from_secs(20);
/// So long nobody may be silent about nothing: what is told before the publish proves nothing.
const QUIET: Duration = Duration::from_millis(50);
/// Changes that are told of for nothing, at most, while all is quiet.
const STRAY_MAX: usize = 1_000;

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let (_ledger, driver) = s.process().await;
    let mut changes = driver.changes();
    for _ in 0..STRAY_MAX {
        if tokio::time::timeout(QUIET, changes.next()).await.is_err() {
            break;
        }
    }
    let told = tokio::time::timeout(TOLD_WITHIN, changes.next());
    let (told, published) = tokio::join!(told, publish(s, 0..1, None));
    published?;
    told.map_err(|_| Broken::new(format!("nobody told of it within {TOLD_WITHIN:?}")))
}

//! Waiting for something that happens by itself, for so long and no longer.

use std::time::{Duration, Instant};

const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Looks until `look` sees something, and panics with `what` if it does not within `time`.
pub(crate) async fn eventually<T>(
    what: &str,
    time: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + time;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "within {time:?}: {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

//! An open loop: requests come when they are due, whether or not the last one was answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Requests that may be under way at a time.
const AT_ONCE: usize = 24;
const SOON: Duration = Duration::from_millis(50);

/// A request's place in the plan.
#[derive(Clone, Copy)]
pub(crate) struct Due {
    pub(crate) number: u64,
    /// What its latency is counted from.
    pub(crate) at: Instant,
}

/// Calls `serve` at `rate` a second for `seconds`, on threads that sleep until a request is due:
/// tokio's timer counts whole milliseconds.
pub(crate) fn run<C>(
    rate: f64,
    seconds: f64,
    connect: impl Fn() -> C + Sync,
    serve: impl Fn(&mut C, Due) + Sync,
) {
    let next = AtomicU64::new(0);
    let start = Instant::now() + SOON;
    let planned = (rate * seconds) as u64;
    thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                let mut client = connect();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= planned {
                        return;
                    }
                    let at = start + Duration::from_secs_f64(number as f64 / rate);
                    thread::sleep(at.saturating_duration_since(Instant::now()));
                    serve(&mut client, Due { number, at });
                }
            });
        }
    });
}

//! A worker's side of being supervised: it shows that it lives, and ends when its supervisor is gone.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use crate::stop::Stop;

const SIGN_EVERY: Duration = Duration::from_millis(500);

/// From now on this process writes a byte now and then, and asks `stop` when its standard input ends.
pub(crate) fn begin(stop: &Stop) {
    tokio::spawn(show_life());
    let stop = stop.clone();
    // A thread of its own, not a task: a blocked read would keep the runtime from ending.
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        loop {
            match stdin.read(&mut [0; 64]) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return stop.ask(),
            }
        }
    });
}

/// A task, so that it shows the life of the runtime that does the work, too.
async fn show_life() {
    let mut every = tokio::time::interval(SIGN_EVERY);
    loop {
        every.tick().await;
        let mut stdout = std::io::stdout().lock();
        // Nobody there to see it: standard input says so, too.
        let _ = stdout.write_all(b".").and_then(|()| stdout.flush());
    }
}

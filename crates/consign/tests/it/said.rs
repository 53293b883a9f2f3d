//! What the library says in the log of its program.

use std::io::Write;
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};
use tracing_subscriber::fmt::MakeWriter;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

#[derive(Clone, Copy)]
struct Keeps;

impl Write for Keeps {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Keeps {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}

fn subscriber() -> tracing_subscriber::fmt::SubscriberBuilder {
    tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::INFO)
}

/// Keeps it from now on, of all tests of this process: look for names of your own.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| subscriber().with_writer(|| Keeps).init());
}

/// Prints it on stderr.
pub(crate) fn print() {
    subscriber().with_writer(std::io::stderr).init();
}

/// Waits until there is a line with all of these words in it, and answers it.
pub(crate) async fn line(words: &[&str]) -> String {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let all = LINES.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let all = String::from_utf8_lossy(&all).into_owned();
        let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
        if let Some(line) = all.lines().find(has_all) {
            return line.to_owned();
        }
        assert!(Instant::now() < until, "nobody says {words:?}; said was:\n{all}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

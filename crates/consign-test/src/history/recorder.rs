//! Notes what one process does, so that it survives the process.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use rustix::time::{ClockId, clock_gettime};

use super::{Event, Moment, What};

/// Appends the events of one process to a file of its own.
///
/// Every event is one write at the end of the file, so that threads may share a recorder and a
/// process may open its file again. A killed process loses nothing that was noted before.
#[derive(Debug)]
pub struct Recorder {
    process: u32,
    file: File,
}

impl Recorder {
    /// Opens the file of `process` in `folder`: a number that no other process of the run has.
    ///
    /// # Errors
    /// The file cannot be opened.
    #[expect(clippy::disallowed_methods, reason = "no database lies where histories are kept")]
    pub fn open(folder: &Path, process: u32) -> io::Result<Self> {
        let path = folder.join(format!("{process}.jsonl"));
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { process, file })
    }

    /// Notes that this happens now.
    ///
    /// What begins is noted before, what has ended is noted after: the checker relies on it.
    ///
    /// # Errors
    /// The event cannot be written.
    pub fn note(&self, what: What) -> io::Result<()> {
        let event = Event { at: now(), process: self.process, what };
        let mut line = serde_json::to_string(&event)?;
        line.push('\n');
        (&self.file).write_all(line.as_bytes())
    }
}

/// By the clock that all processes of the machine share, and that nobody sets.
fn now() -> Moment {
    let time = clock_gettime(ClockId::Monotonic);
    let part = |number: i64| u64::try_from(number).expect("the clock starts at 0");
    Moment(part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec))
}

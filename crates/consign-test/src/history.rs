//! What happened in a run: noted by every process while it happens, read as one when all is over.
//!
//! Each process appends to a file of its own, one event a line, and dies whenever it likes. The
//! files must not lie where faults are injected: a history that a power cut shortens proves nothing.

mod event;
mod recorder;

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

pub use event::{Delivered, End, Event, MessageNumber, Moment, Moved, Place, Publishing, What};
pub use recorder::Recorder;

/// Everything that happened in one run, by time.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What the run was drawn from; each violation names it.
    pub seed: u64,
    /// By time; what one process noted stands in the order in which it was noted.
    pub events: Vec<Event>,
}

impl History {
    /// Reads the files of all processes in `folder`.
    ///
    /// A last line that was cut short is left out: its process died while it wrote.
    ///
    /// # Errors
    /// A file that cannot be read, a line that is no event, or a clock that went back.
    pub fn read(folder: &Path, seed: u64) -> io::Result<Self> {
        let mut events = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                read_file(&path, &mut events)?;
            }
        }
        // Stable, and a process's clock does not go back: each keeps its own order.
        events.sort_by_key(|event| (event.at, event.process));
        Ok(Self { seed, events })
    }
}

fn read_file(path: &Path, events: &mut Vec<Event>) -> io::Result<()> {
    let text = fs::read_to_string(path)?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut last = Moment::default();
    for (number, line) in whole.lines().enumerate() {
        let invalid = |why: &dyn fmt::Display| {
            let place = format!("{}:{}", path.display(), number + 1);
            io::Error::new(io::ErrorKind::InvalidData, format!("no history at {place}: {why}"))
        };
        let event: Event = serde_json::from_str(line).map_err(|error| invalid(&error))?;
        if event.at < last {
            return Err(invalid(&"the clock went back"));
        }
        last = event.at;
        events.push(event);
    }
    Ok(())
}

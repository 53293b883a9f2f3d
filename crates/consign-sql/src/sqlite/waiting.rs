//! The requests' side of the gate: it shows the workers of all processes that a request waits.

use crate::sqlite::gate::open;
use consign_core::Result;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Tries to show that one waits: a worker that looks holds the file for less than a microsecond.
const SHOW_TRIES: usize = 3;

/// The requests' side of the gate, one a process.
#[derive(Debug)]
pub(crate) struct Waiting {
    file: File,
    who: Mutex<Who>,
}

#[derive(Debug, Default)]
struct Who {
    count: usize,
    is_shown: bool,
}

/// Shown to the workers until dropped.
#[derive(Debug)]
pub(crate) struct Shown(Arc<Waiting>);

impl Waiting {
    pub(crate) fn open(database: &Path) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { file: open(database, "-wait")?, who: Mutex::default() }))
    }

    /// From before the process's own line until `BEGIN IMMEDIATE` has returned.
    pub(crate) fn show(self: &Arc<Self>) -> Shown {
        let mut who = self.who.lock().unwrap_or_else(PoisonError::into_inner);
        who.count += 1;
        if !who.is_shown {
            // Not shown after all tries: the worker's rest is there all the same, and who comes
            // next tries again.
            who.is_shown = (0..SHOW_TRIES).any(|_| self.try_show());
        }
        Shown(Arc::clone(self))
    }

    fn try_show(&self) -> bool {
        let is_shown = self.file.try_lock_shared().is_ok();
        if !is_shown {
            thread::yield_now();
        }
        is_shown
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let mut who = self.0.who.lock().unwrap_or_else(PoisonError::into_inner);
        who.count -= 1;
        if who.count == 0 && std::mem::take(&mut who.is_shown) {
            let _ = self.0.file.unlock();
        }
    }
}

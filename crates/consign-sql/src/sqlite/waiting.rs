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
    count: Mutex<usize>,
}

/// Shown to the workers until dropped.
#[derive(Debug)]
pub(crate) struct Shown(Arc<Waiting>);

impl Waiting {
    pub(crate) fn open(database: &Path) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { file: open(database, "-wait")?, count: Mutex::new(0) }))
    }

    /// From before the process's own line until `BEGIN IMMEDIATE` has returned.
    pub(crate) fn show(self: &Arc<Self>) -> Shown {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if *count == 0 {
            // Not shown after all tries: the worker's rest is there all the same.
            let _shown = (0..SHOW_TRIES).any(|_| {
                let shown = self.file.try_lock_shared().is_ok();
                if !shown {
                    thread::yield_now();
                }
                shown
            });
        }
        *count += 1;
        Shown(Arc::clone(self))
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let mut count = self.0.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        if *count == 0 {
            let _ = self.0.file.unlock();
        }
    }
}

//! Who is dead? On one machine the kernel knows.
//!
//! Each worker process holds a lock on a file of its own beside the database, named by its id, made
//! and locked before its row is written. A lock that can be had is a dead process's, and its
//! partitions are taken over at once; the lease is for processes that are merely stopped.

use crate::error;
use crate::sqlite::gate::beside;
use consign_core::{Result, SubscriptionId, WorkerId};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The lock of this process; freed by the kernel when it dies.
#[derive(Debug)]
pub(crate) struct Alive {
    file: File,
    path: PathBuf,
}

fn file_of(database: &Path, worker: WorkerId) -> PathBuf {
    beside(database, &format!("-worker-{}", worker.0.simple()))
}

impl Alive {
    pub(crate) fn new(database: &Path, worker: WorkerId) -> Result<Self> {
        let path = file_of(database, worker);
        let failed = |source| error::of_io(&format!("lock {}", path.display()), source);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        #[expect(clippy::disallowed_methods, reason = "a lock file, never the database")]
        let file = options.open(&path).map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(Self { file, path })
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

/// The lock files of other processes, kept open between looks.
#[derive(Debug, Default)]
pub(crate) struct Others {
    seen: HashMap<WorkerId, File>,
    /// Who was there at the last look of each subscription.
    named: HashMap<SubscriptionId, Vec<WorkerId>>,
}

impl Others {
    /// Which of a subscription's `workers` have died, beside `me`; the files of those that no
    /// subscription names any more are closed.
    pub(crate) fn dead(
        &mut self,
        database: &Path,
        of: SubscriptionId,
        workers: Vec<WorkerId>,
        me: WorkerId,
    ) -> Vec<WorkerId> {
        let is_dead = |worker: &WorkerId| *worker != me && self.is_dead(database, *worker);
        let dead = workers.iter().copied().filter(is_dead).collect();
        self.named.insert(of, workers);
        let Self { seen, named } = self;
        seen.retain(|worker, _| named.values().flatten().any(|named| named == worker));
        dead
    }

    fn is_dead(&mut self, database: &Path, worker: WorkerId) -> bool {
        if let Some(file) = self.seen.get(&worker) {
            return is_free(file);
        }
        #[expect(clippy::disallowed_methods, reason = "a lock file, never the database")]
        let opened = File::open(file_of(database, worker));
        match opened {
            Ok(file) => is_free(self.seen.entry(worker).or_insert(file)),
            // It left, or died and somebody else has removed the file.
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }
}

fn is_free(file: &File) -> bool {
    file.try_lock_shared().map(|()| file.unlock()).is_ok()
}

/// Looks at the locks of processes that have not been heard of, once.
pub(crate) fn dead_of(database: &Path, workers: Vec<WorkerId>) -> Vec<WorkerId> {
    let mut others = Others::default();
    workers.into_iter().filter(|worker| others.is_dead(database, *worker)).collect()
}

/// Removes what a dead process left.
pub(crate) fn remove(database: &Path, worker: WorkerId) {
    let _ = std::fs::remove_file(file_of(database, worker));
}

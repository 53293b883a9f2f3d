//! Learns of commits: at once of our own, within milliseconds of other processes'.
//!
//! A watch on the *directory* of the WAL tells of every write to it (a watch on the file itself dies
//! with the file). The event comes before the sync and the commit, so `PRAGMA data_version` is
//! looked at again until it has changed. Where there is no watch it is looked at every 20 ms, and
//! always once a second.

use crate::connection::{Connections, Role};
use crate::error;
use crate::sqlite::gate::beside;
use crate::sqlite::thread::in_one_hop;
use consign_core::{Changes, Result};
use notify::{EventKind, RecursiveMode, Watcher};
use sqlx::SqliteConnection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Without a watch on the directory.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// With one, in case it misses something.
const LOOK_AT_LEAST: Duration = Duration::from_secs(1);
/// After a write to the WAL: again after this, twice this …
const LOOK_AGAIN: Duration = Duration::from_micros(100);
/// … up to this.
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(50);

/// The one watcher of a process.
#[derive(Debug)]
pub(crate) struct Watch {
    counter: Arc<watch::Sender<u64>>,
    connections: Connections,
    path: PathBuf,
    started: Once,
}

impl Watch {
    pub(crate) fn new(connections: Connections, path: PathBuf) -> Self {
        let counter = Arc::new(watch::Sender::new(0));
        Self { counter, connections, path, started: Once::new() }
    }

    /// A commit of ours has just been made.
    pub(crate) fn wake(&self) {
        wake(&self.counter);
    }

    /// Starts to watch, where nobody did yet, on a task that ends with the handle.
    pub(crate) fn changes(&self) -> Changes {
        self.started.call_once(|| {
            let (connections, path) = (self.connections.clone(), self.path.clone());
            let counter = Arc::downgrade(&self.counter);
            tokio::spawn(async move {
                let mut looks = Looks::new(&path);
                while let Some(counter) = counter.upgrade() {
                    if let Err(error) = looks.watch(&connections, &counter).await {
                        tracing::warn!(%error, "cannot watch the database, trying again");
                        tokio::time::sleep(LOOK_AT_LEAST).await;
                    }
                }
            });
        });
        Changes::new(self.counter.subscribe())
    }
}

fn wake(counter: &watch::Sender<u64>) {
    counter.send_modify(|count| *count = count.wrapping_add(1));
}

/// What the watching task keeps.
struct Looks {
    written: Arc<Notify>,
    directory: Option<notify::RecommendedWatcher>,
    connection: Option<SqliteConnection>,
    version: i64,
}

impl Looks {
    fn new(path: &Path) -> Self {
        let written = Arc::new(Notify::new());
        let directory = watch_directory(path, Arc::clone(&written))
            .inspect_err(|error| tracing::warn!(%error, "looking every 20 ms instead"));
        Self { written, directory: directory.ok(), connection: None, version: -1 }
    }

    /// Waits for a write to the WAL, or a while; then looks until something has changed.
    async fn watch(&mut self, connections: &Connections, counter: &watch::Sender<u64>) -> Result {
        let floor = if self.directory.is_some() { LOOK_AT_LEAST } else { LOOK_EVERY };
        let mut again = match timeout(floor, self.written.notified()).await {
            Ok(()) => LOOK_AGAIN,
            Err(_) => LOOK_AGAIN_MAX,
        };
        loop {
            if self.has_changed(connections).await? {
                wake(counter);
                return Ok(());
            }
            if again >= LOOK_AGAIN_MAX {
                return Ok(());
            }
            tokio::time::sleep(again).await;
            again *= 2;
        }
    }

    async fn has_changed(&mut self, connections: &Connections) -> Result<bool> {
        // One connection that stays open: one opened per look would wake itself.
        if self.connection.is_none() {
            self.connection = Some(connections.open(Role::Reads).await?);
        }
        let connection = self.connection.as_mut().expect("opened above");
        let look = |db: &rusqlite::Connection| {
            db.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0))
        };
        let version = in_one_hop(connection, "look for changes", look).await;
        match version {
            Ok(version) => Ok(std::mem::replace(&mut self.version, version) != version),
            Err(error) => {
                self.connection = None;
                Err(error)
            }
        }
    }
}

fn watch_directory(path: &Path, written: Arc<Notify>) -> Result<notify::RecommendedWatcher> {
    let failed = |source: notify::Error| {
        error::of_io("watch the database's directory", std::io::Error::other(source))
    };
    let wal = beside(path, "-wal");
    let of_the_wal = move |event: notify::Event| {
        matches!(event.kind, EventKind::Modify(_) | EventKind::Create(_))
            && event.paths.contains(&wal)
    };
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<_>| {
        if event.is_ok_and(&of_the_wal) {
            written.notify_one();
        }
    })
    .map_err(failed)?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    watcher.watch(directory, RecursiveMode::NonRecursive).map_err(failed)?;
    Ok(watcher)
}

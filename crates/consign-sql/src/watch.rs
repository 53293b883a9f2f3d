//! Learns of commits: at once of our own, within milliseconds of other processes'.
//!
//! Every commit writes the WAL, and the kernel tells of it. The event comes before the sync and the
//! commit, so `PRAGMA data_version` is looked at again until it has changed. Where there are no
//! events it is looked at every 20 ms, and always once a second.
//!
//! Events are read only while somebody waits. A worker that drains a backlog does not, and an event
//! that nobody has read swallows those like it: twenty busy workers that all read them, each woken
//! by every commit of the others, hardly got to work.

use crate::connection::{Connections, Role};
use crate::error;
use crate::sqlite::gate::beside;
use crate::sqlite::thread::in_one_hop;
use consign_core::{Changes, Result, Waiters};
use futures_util::StreamExt;
use inotify::{EventMask, EventStream, Inotify, WatchMask};
use sqlx::SqliteConnection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Without events.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// With them, in case one is missed.
const LOOK_AT_LEAST: Duration = Duration::from_secs(1);
/// After a write to the WAL: again after this, twice this …
const LOOK_AGAIN: Duration = Duration::from_micros(100);
/// … up to this.
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(50);
/// Bytes of events that are read at once.
const EVENTS_BYTES: usize = 1024;

/// The one watcher of a process.
#[derive(Debug)]
pub(crate) struct Watch {
    counter: Arc<watch::Sender<u64>>,
    waiters: Arc<Waiters>,
    connections: Connections,
    path: PathBuf,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Watch {
    pub(crate) fn new(connections: Connections, path: PathBuf) -> Self {
        let (counter, waiters) = (Arc::new(watch::Sender::new(0)), Arc::default());
        Self { counter, waiters, connections, path, task: Mutex::default() }
    }

    /// A commit of ours has just been made.
    pub(crate) fn wake(&self) {
        wake(&self.counter);
    }

    /// Watches, on a task of this runtime that ends with the handle.
    ///
    /// One task does for all who ask, unless its runtime has ended meanwhile.
    pub(crate) fn changes(&self) -> Changes {
        let changes = Changes::new(self.counter.subscribe(), Arc::clone(&self.waiters));
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            let (connections, waiters) = (self.connections.clone(), Arc::clone(&self.waiters));
            let (counter, looks) = (Arc::downgrade(&self.counter), Looks::new(&self.path));
            *task = Some(tokio::spawn(watch_all(looks, connections, counter, waiters)));
        }
        changes
    }
}

async fn watch_all(
    mut looks: Looks,
    connections: Connections,
    counter: Weak<watch::Sender<u64>>,
    waiters: Arc<Waiters>,
) {
    while let Some(counter) = counter.upgrade() {
        if timeout(LOOK_AT_LEAST, waiters.some()).await.is_err() {
            continue;
        }
        if let Err(error) = looks.watch(&connections, &counter).await {
            tracing::warn!(%error, "cannot watch the database, trying again");
            tokio::time::sleep(LOOK_AT_LEAST).await;
        }
    }
}

fn wake(counter: &watch::Sender<u64>) {
    counter.send_modify(|count| *count = count.wrapping_add(1));
}

/// What the watching task keeps.
struct Looks {
    wal: PathBuf,
    events: Option<EventStream<[u8; EVENTS_BYTES]>>,
    connection: Option<SqliteConnection>,
    version: i64,
}

impl Looks {
    fn new(database: &Path) -> Self {
        Self { wal: beside(database, "-wal"), events: None, connection: None, version: -1 }
    }

    /// Looks; if nothing has changed, waits for a write to the WAL and looks until something has.
    async fn watch(&mut self, connections: &Connections, counter: &watch::Sender<u64>) -> Result {
        let (mut again, mut since) = (LOOK_AT_LEAST, Instant::now());
        loop {
            if self.has_changed(connections).await? {
                wake(counter);
                return Ok(());
            }
            if self.is_written_within(again).await {
                (again, since) = (LOOK_AGAIN, Instant::now());
            } else if since.elapsed() > LOOK_AT_LEAST {
                return Ok(());
            } else {
                again = (again * 2).min(LOOK_AGAIN_MAX);
            }
        }
    }

    /// Waits for a write, or a while.
    async fn is_written_within(&mut self, wait: Duration) -> bool {
        if self.events.is_none() {
            // Our connection keeps the file from being deleted, as long as nobody else does it.
            self.events = events(&self.wal).ok();
        }
        let Some(events) = &mut self.events else {
            tokio::time::sleep(wait.min(LOOK_EVERY)).await;
            return false;
        };
        match timeout(wait, events.next()).await {
            Ok(Some(Ok(event))) if !event.mask.contains(EventMask::IGNORED) => true,
            Ok(_) => {
                self.events = None;
                false
            }
            Err(_) => false,
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

fn events(wal: &Path) -> Result<EventStream<[u8; EVENTS_BYTES]>> {
    let failed = |source| error::of_io("watch the WAL", source);
    let inotify = Inotify::init().map_err(failed)?;
    inotify.watches().add(wal, WatchMask::MODIFY).map_err(failed)?;
    inotify.into_event_stream([0; EVENTS_BYTES]).map_err(failed)
}

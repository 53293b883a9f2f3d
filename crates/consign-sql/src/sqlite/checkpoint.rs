//! Checkpoints: by workers in their turn, on a connection that never waits.
//!
//! PASSIVE only. RESTART and TRUNCATE wait for readers, and requests then fail behind them. So that
//! the WAL starts again all the same, one more PASSIVE is run under the write lock, when there is
//! nothing left that a reader needs: the next writer then begins at the front.

use crate::sqlite::thread::in_one_long_hop;
use consign_core::Result;
use sqlx::SqliteConnection;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Past so many pages the WAL should start again.
const RESTART_PAGES: i64 = 8_000;
/// Of a page, as SQLite has it where nobody chose otherwise.
const PAGE_BYTES: i64 = 4_096;
/// A reader that pins the WAL is left alone for this long, then twice this …
const BACK_OFF: Duration = Duration::from_millis(50);
/// … up to this.
const BACK_OFF_MAX: Duration = Duration::from_mins(1);
/// From this back-off on, and then each time it doubles, it is said that a reader pins the WAL; one
/// that has done so for as long is shown.
const SAY_FROM: Duration = Duration::from_secs(5);

/// What is kept between checkpoints.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    connection: SqliteConnection,
    not_before: Instant,
    back_off: Duration,
    pinned: Pin,
}

/// Whether a reader pins the WAL, for those who do not checkpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pin(Arc<Mutex<Option<Pinned>>>);

/// A reader that stays open keeps the WAL from being copied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pinned {
    since: Instant,
    pub(crate) bytes: i64,
}

impl Pinned {
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }
}

impl Pin {
    /// A reader that has done so for long; others do it in passing, too.
    pub(crate) fn for_long(&self) -> Option<Pinned> {
        self.now().filter(|pinned| pinned.age() >= SAY_FROM)
    }

    fn now(&self) -> Option<Pinned> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, pinned: Option<Pinned>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = pinned;
    }
}

/// What a checkpoint left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    pages: i64,
    copied: i64,
}

impl Left {
    /// A reader needs the rest.
    fn is_pinned(self) -> bool {
        self.copied < self.pages
    }

    /// All is copied, and the WAL is long.
    pub(crate) fn wants_restart(self) -> bool {
        !self.is_pinned() && self.pages > RESTART_PAGES
    }
}

impl Checkpoints {
    pub(crate) fn new(connection: SqliteConnection, pinned: Pin) -> Self {
        let back_off = Duration::ZERO;
        Self { connection, not_before: Instant::now(), back_off, pinned }
    }

    /// Copies pages where so many are due, or where a reader that may have gone has kept some.
    pub(crate) async fn run(&mut self, due_pages: i64) -> Result<Option<Left>> {
        if Instant::now() < self.not_before {
            return Ok(None);
        }
        let look = self.pragma("PRAGMA wal_checkpoint(noop)").await?;
        if self.pinned.now().is_none() && look.pages - look.copied <= due_pages {
            return Ok(None);
        }
        self.passive().await.map(Some)
    }

    /// Copies what can be copied without waiting for anybody.
    pub(crate) async fn passive(&mut self) -> Result<Left> {
        let left = self.pragma("PRAGMA wal_checkpoint(passive)").await?;
        self.learn(left);
        Ok(left)
    }

    fn learn(&mut self, left: Left) {
        let now = Instant::now();
        if !left.is_pinned() {
            self.back_off = Duration::ZERO;
            return self.pinned.set(None);
        }
        self.back_off = (self.back_off * 2).clamp(BACK_OFF, BACK_OFF_MAX);
        self.not_before = now + self.back_off;
        let since = self.pinned.now().map_or(now, |pinned| pinned.since);
        let bytes = left.pages * PAGE_BYTES;
        self.pinned.set(Some(Pinned { since, bytes }));
        if self.back_off >= SAY_FROM {
            let (mib, age) = (bytes >> 20, since.elapsed().as_secs());
            tracing::warn!(
                "a reader that stays open keeps the WAL from being copied since {age} s: it has \
                 {mib} MiB; end that reader"
            );
        }
    }

    async fn pragma(&mut self, pragma: &str) -> Result<Left> {
        in_one_long_hop(&mut self.connection, "checkpoint", |db| {
            db.query_row(pragma, [], |row| Ok(Left { pages: row.get(1)?, copied: row.get(2)? }))
        })
        .await
    }
}

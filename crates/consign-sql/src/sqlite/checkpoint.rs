//! Checkpoints: by workers in their turn, on a connection that never waits.
//!
//! PASSIVE only. RESTART and TRUNCATE wait for readers, and requests then fail behind them. So that
//! the WAL starts again all the same, one more PASSIVE is run under the write lock, when there is
//! nothing left that a reader needs: the next writer then begins at the front.

use crate::sqlite::thread::in_one_long_hop;
use consign_core::Result;
use sqlx::SqliteConnection;
use std::time::{Duration, Instant};

/// Past so many pages the WAL should start again.
const RESTART_PAGES: i64 = 8_000;
/// A reader that pins the WAL is left alone for this long, then twice this …
const BACK_OFF: Duration = Duration::from_millis(50);
/// … up to this.
const BACK_OFF_MAX: Duration = Duration::from_mins(1);
/// From this back-off on, and then each time it doubles, it is said that a reader pins the WAL.
const SAY_FROM: Duration = Duration::from_secs(5);

/// What is kept between checkpoints.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    connection: SqliteConnection,
    not_before: Instant,
    back_off: Duration,
    since: Option<Instant>,
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
    pub(crate) fn new(connection: SqliteConnection) -> Self {
        let back_off = Duration::ZERO;
        Self { connection, not_before: Instant::now(), back_off, since: None }
    }

    /// Copies pages where so many are due.
    pub(crate) async fn run(&mut self, due_pages: i64) -> Result<Option<Left>> {
        if Instant::now() < self.not_before {
            return Ok(None);
        }
        let look = self.pragma("PRAGMA wal_checkpoint(noop)").await?;
        if look.pages - look.copied <= due_pages {
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
            (self.back_off, self.since) = (Duration::ZERO, None);
            return;
        }
        self.back_off = (self.back_off * 2).clamp(BACK_OFF, BACK_OFF_MAX);
        self.not_before = now + self.back_off;
        let since = *self.since.get_or_insert(now);
        if self.back_off >= SAY_FROM {
            let (mib, age) = ((left.pages * 4096) >> 20, since.elapsed().as_secs());
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

//! The workers, as a process of their own that can be killed.

use super::crash::Crash;
use consign::sqlite::Consign;
use consign::{Result, Running};
use consign_core::Clock;
use consign_sql::AtCommit;
use sqlx::SqlitePool;
use std::sync::Arc;

/// It shares nothing with what else runs in this test but the file.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) consign: Consign,
    pub(super) crash: Arc<Crash>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// In order, with nothing left to do.
    Idle,
    /// At a commit.
    Crashed,
}

impl Process {
    pub(super) async fn open(
        db: &SqlitePool,
        clock: Arc<dyn Clock>,
        crash: Arc<Crash>,
    ) -> Result<Self> {
        let at_commit = Arc::clone(&crash) as Arc<dyn AtCommit>;
        let consign = Consign::builder(db).clock(clock).at_commit(at_commit).open().await?;
        Ok(Self { consign, crash })
    }

    /// Starts the workers, and ends them when they are idle or have crashed.
    pub(super) async fn run(
        &self,
        start: impl Future<Output = Result<Running>>,
        idle: impl Future<Output = Result>,
    ) -> Result<Ended> {
        self.crash.works();
        let running = tokio::select! {
            biased;
            () = self.crash.happened() => return Ok(Ended::Crashed),
            running = start => running?,
        };
        let idle = tokio::select! {
            biased;
            () = self.crash.happened() => Ok(()),
            idle = idle => idle,
        };
        // It may have crashed since; a process that is dead does not end in order.
        let is_alive = self.crash.leaves();
        if is_alive && idle.is_ok() {
            return running.shutdown().await.map(|()| Ended::Idle);
        }
        running.kill().await;
        idle.map(|()| Ended::Crashed)
    }
}

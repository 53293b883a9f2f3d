//! Our few connections: the options and hooks of the user's pool, our own settings on top.

use crate::error;
use crate::sqlite::commit_hook::Ending;
use crate::sqlite::gate::{Busy, install_busy_handler};
use consign_core::{Error, Result};
use sqlx::pool::PoolOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Sqlite, SqliteConnection, SqlitePool};
use sqlx_core::transaction::TransactionManager;
use std::sync::Arc;

type Manager = <Sqlite as sqlx::Database>::TransactionManager;

/// Opens connections as the user's pool would.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    options: PoolOptions<Sqlite>,
    connect: Arc<SqliteConnectOptions>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    /// Requests: everything that anybody saw is on disk.
    Requests,
    /// Effects whose cursor lies in this same file: a power cut takes both back.
    Effects,
    /// Checkpoints: nobody ever waits for a reader.
    Checkpoints,
    /// Pages of the log, and everything else that only reads.
    Reads,
}

impl Role {
    /// A backstop where no worker does it.
    fn settings(self) -> (&'static str, Busy) {
        match self {
            Self::Requests => {
                ("pragma synchronous = full; pragma wal_autocheckpoint = 16000", Busy::Waits)
            }
            Self::Effects | Self::Checkpoints => {
                ("pragma synchronous = normal; pragma wal_autocheckpoint = 0", Busy::Fails)
            }
            Self::Reads => ("pragma query_only = on", Busy::Waits),
        }
    }
}

impl Connections {
    pub(crate) fn of(pool: &SqlitePool) -> Self {
        Self { options: pool.options().clone(), connect: pool.connect_options() }
    }

    /// Opens a connection; the hooks of the user's pool have run on it.
    pub(crate) async fn open(&self, role: Role) -> Result<SqliteConnection> {
        let failed = |source| error::of_sqlx("open a connection", source);
        let one = self.options.clone().min_connections(0).max_connections(1);
        let pool = one.connect_with((*self.connect).clone()).await.map_err(failed)?;
        let mut connection = pool.acquire().await.map_err(failed)?.detach();
        let (settings, busy) = role.settings();
        sqlx::raw_sql(settings).execute(&mut connection).await.map_err(failed)?;
        install_busy_handler(&mut connection.lock_handle().await.map_err(failed)?, busy);
        Ok(connection)
    }

    /// Opens a connection to write on, which notices every end that we did not ask for.
    pub(crate) async fn open_writer(&self, role: Role) -> Result<WriteConnection> {
        let mut connection = self.open(role).await?;
        let watched = Ending::watch(&mut connection).await;
        let ending = watched.map_err(|source| error::of_sqlx("watch a connection", source))?;
        Ok(WriteConnection { connection, ending, savepoint: false })
    }
}

/// A connection on which a transaction ends only when we end it.
#[derive(Debug)]
pub(crate) struct WriteConnection {
    pub(crate) connection: SqliteConnection,
    ending: Arc<Ending>,
    /// The statements of the present request stand in a savepoint.
    savepoint: bool,
}

impl WriteConnection {
    pub(crate) async fn begin(&mut self) -> sqlx::Result<()> {
        self.ending.reset();
        self.savepoint = false;
        let immediate = sqlx::SqlStr::from_static("BEGIN IMMEDIATE");
        Manager::begin(&mut self.connection, Some(immediate)).await
    }

    /// Goes on in the open transaction, in a savepoint that can be rolled back alone.
    pub(crate) async fn nest(&mut self) -> Result {
        self.settle().await?;
        let nested = Manager::begin(&mut self.connection, None).await;
        nested.map_err(|source| error::of_sqlx("begin", source))?;
        self.savepoint = true;
        Ok(())
    }

    /// Ends the savepoint, where there is one, and keeps what it holds.
    pub(crate) async fn release(&mut self) -> Result {
        self.settle().await?;
        if std::mem::take(&mut self.savepoint) {
            let released = Manager::commit(&mut self.connection).await;
            released.map_err(|source| error::of_sqlx("end a request's statements", source))?;
        }
        Ok(())
    }

    /// Commits the transaction that [`Self::begin`] began, and no other.
    pub(crate) async fn commit(&mut self) -> Result {
        self.settle().await?;
        self.ending.ask();
        let committed = Manager::commit(&mut self.connection).await;
        committed.map_err(|source| error::of_sqlx("commit", source))?;
        self.ending.reset();
        Ok(())
    }

    /// Rolls back to where [`Self::nest`] went on, or else all.
    pub(crate) async fn rollback(&mut self) -> Result {
        self.settle().await?;
        let all = !std::mem::take(&mut self.savepoint);
        if all {
            self.ending.ask();
        }
        let rolled_back = Manager::rollback(&mut self.connection).await;
        rolled_back.map_err(|source| error::of_sqlx("roll back", source))?;
        if all {
            self.ending.reset();
        }
        Ok(())
    }

    /// Waits for what was sent to the connection before, such as the rollback of a nested
    /// transaction that was dropped, and refuses to go on where that left something else open.
    async fn settle(&mut self) -> Result {
        self.check_open()?;
        if !self.is_nested() {
            return Ok(());
        }
        let settled = self.connection.ping().await;
        settled.map_err(|source| error::of_sqlx("end a transaction", source))?;
        if !self.is_nested() {
            return Ok(());
        }
        let message = "a transaction begun inside this one is still open: commit it, or roll it \
                       back, before this one ends";
        Err(Error::new("transaction-nested", message))
    }

    fn is_nested(&self) -> bool {
        let depth = Manager::get_transaction_depth(&self.connection);
        depth != 1 + usize::from(self.savepoint)
    }

    /// Refuses to go on in a transaction that somebody else has ended.
    pub(crate) fn check_open(&self) -> Result {
        if self.ending.is_unasked() { Err(left()) } else { Ok(()) }
    }

    /// Closes the connection; whatever was open is rolled back.
    pub(crate) async fn close(self) {
        if let Err(source) = self.connection.close().await {
            tracing::warn!(%source, "a connection did not close as it should");
        }
    }
}

fn left() -> Error {
    let message = "the transaction was ended from within, by a COMMIT or ROLLBACK of its own, by \
                   `OR ROLLBACK` or `RAISE(ROLLBACK)`, or by a statement that failed with the \
                   disk full; nothing of it was kept: leave COMMIT and ROLLBACK to consign";
    Error::new("transaction-left", message)
}

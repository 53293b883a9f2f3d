//! Our few connections: the options and hooks of the user's pool, our own settings on top.

use crate::error;
use crate::sqlite::commit_hook::Ending;
use crate::sqlite::gate::{Busy, install_busy_handler};
use crate::sqlite::inside::{Rewound, breaks_a_foreign_key, is_full};
use crate::sqlite::savepoint::Savepoint;
use crate::sqlite::thread::{in_one_hop, keep_statements};
use consign_core::{Error, Result};
use sqlx::pool::PoolOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Sqlite, SqliteConnection, SqlitePool};
use sqlx_core::transaction::TransactionManager;
use std::sync::Arc;

type Manager = <Sqlite as sqlx::Database>::TransactionManager;

/// Commands that sqlx's thread of a connection may be behind. Each hop sends one, and holds the handle
/// until it is sent: were there no room, the thread that is to make some would wait for the handle.
/// With sqlx's own 50, fifty hops in a row while the thread was not scheduled stood still for ever.
const COMMANDS_MAX: usize = 1 << 24;

const RELEASE: &str = "RELEASE consign_member";
const TAKE_BACK: &str = "ROLLBACK TO consign_member; RELEASE consign_member";

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
        let connect = (*pool.connect_options()).clone().command_buffer_size(COMMANDS_MAX);
        Self { options: pool.options().clone(), connect: Arc::new(connect) }
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

    /// Opens a connection to read on, again and again: what is prepared stays so.
    pub(crate) async fn open_reader(&self) -> Result<SqliteConnection> {
        let mut connection = self.open(Role::Reads).await?;
        let failed = |source| error::of_sqlx("open a connection", source);
        Rewound::watch_end(&mut connection).await.map_err(failed)?;
        keep_statements(&mut connection).await.map_err(failed)?;
        Ok(connection)
    }

    /// Opens a connection to write on, which notices every end that we did not ask for.
    pub(crate) async fn open_writer(&self, role: Role) -> Result<WriteConnection> {
        let mut connection = self.open(role).await?;
        let failed = |source| error::of_sqlx("watch a connection", source);
        let ending = Ending::watch(&mut connection).await.map_err(failed)?;
        let rewound = Rewound::watch(&mut connection).await.map_err(failed)?;
        keep_statements(&mut connection).await.map_err(failed)?;
        let (savepoint, saved) = (false, Savepoint::new());
        Ok(WriteConnection { connection, ending, rewound, savepoint, saved })
    }
}

/// A connection on which a transaction ends only when we end it.
#[derive(Debug)]
pub(crate) struct WriteConnection {
    pub(crate) connection: SqliteConnection,
    ending: Arc<Ending>,
    rewound: Arc<Rewound>,
    /// The statements of the present request stand in a savepoint.
    savepoint: bool,
    /// Of a worker's transaction, what stays when a handler fails.
    saved: Savepoint,
}

impl WriteConnection {
    pub(crate) async fn begin(&mut self) -> sqlx::Result<()> {
        self.ending.reset();
        self.rewound.reset();
        self.savepoint = false;
        self.saved.forget();
        let immediate = sqlx::SqlStr::from_static("BEGIN IMMEDIATE");
        Manager::begin(&mut self.connection, Some(immediate)).await?;
        Ok(())
    }

    /// From here on [`Self::has_written`] tells what has been.
    pub(crate) fn forget_written(&self) {
        self.rewound.forget_written();
    }

    /// Asks whether a statement that may write has begun to run, those included that sqlx's thread
    /// had been told of and not run yet.
    pub(crate) async fn has_written(&mut self) -> bool {
        self.connection.ping().await.is_err() || self.rewound.has_written()
    }

    /// What was written until now stays when [`Self::take_back`] comes.
    pub(crate) async fn save(&mut self) -> Result {
        self.settle().await?;
        let saved = self.saved.set(&mut self.connection).await;
        saved.map_err(|source| error::of_sqlx("set a savepoint", source))
    }

    /// Takes back what was written since [`Self::save`]; an error: all is to be rolled back.
    pub(crate) async fn take_back(&mut self) -> Result {
        self.settle().await?;
        let taken_back = self.saved.take_back(&mut self.connection).await;
        taken_back.map_err(|source| error::of_sqlx("roll back to a savepoint", source))
    }

    /// Goes on in the open transaction, in a savepoint that can be rolled back alone.
    pub(crate) async fn nest(&mut self) -> Result {
        self.settle().await?;
        self.say("begin", "SAVEPOINT consign_member").await?;
        self.rewound.reset();
        self.savepoint = true;
        Ok(())
    }

    /// Ends the statements of one of several, and keeps what they wrote; `false`: a foreign key
    /// that was deferred is broken, so a COMMIT would fail for all. A savepoint is rolled back then.
    pub(crate) async fn release(&mut self) -> Result<bool> {
        self.settle().await?;
        let savepoint = std::mem::take(&mut self.savepoint);
        let release = |db: &rusqlite::Connection| {
            let is_kept = !breaks_a_foreign_key(db);
            match (savepoint, is_kept) {
                (true, true) => db.execute_batch(RELEASE)?,
                (true, false) => db.execute_batch(TAKE_BACK)?,
                (false, _) => {}
            }
            Ok(is_kept)
        };
        in_one_hop(&mut self.connection, "end a request's statements", release).await
    }

    /// One of our own statements that are always the same.
    async fn say(&mut self, doing: &str, sql: &'static str) -> Result {
        in_one_hop(&mut self.connection, doing, |db| db.execute_batch(sql)).await
    }

    /// The statements of the present request stand in a savepoint, since others came before.
    pub(crate) fn is_nesting(&self) -> bool {
        self.savepoint
    }

    /// Asks whether the present request may have taken back what it wrote, in part.
    pub(crate) fn is_rewound(&self) -> bool {
        self.rewound.is_rewound()
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
        if std::mem::take(&mut self.savepoint) {
            // On sqlx's thread, behind whatever it was told before: a statement whose caller has
            // gone may not have run yet, and a hop that was cut short lets the next one overtake it.
            let taken_back = sqlx::raw_sql(TAKE_BACK).execute(&mut self.connection).await;
            return taken_back.map(drop).map_err(|source| error::of_sqlx("roll back", source));
        }
        self.ending.ask();
        let rolled_back = Manager::rollback(&mut self.connection).await;
        rolled_back.map_err(|source| error::of_sqlx("roll back", source))?;
        self.ending.reset();
        Ok(())
    }

    /// Waits for what was sent to the connection before, such as the rollback of a nested
    /// transaction that was dropped, and refuses to go on where that left something else open.
    pub(crate) async fn settle(&mut self) -> Result {
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
        Manager::get_transaction_depth(&self.connection) != 1
    }

    /// Refuses to go on in a transaction that somebody else has ended.
    pub(crate) fn check_open(&self) -> Result {
        if self.ending.is_unasked() { Err(left()) } else { Ok(()) }
    }

    /// Says why a transaction cannot go on: SQLite ends it by itself where the disk is full, and
    /// the next statement would have that forgotten.
    pub(crate) async fn explained(&mut self, error: Error) -> Error {
        let full = |db: &rusqlite::Connection| Ok(is_full(db));
        let asked = in_one_hop(&mut self.connection, "look at a transaction", full).await;
        if self.ending.is_unasked() && asked.is_ok_and(|is_full| is_full) {
            return Error::new(Error::FULL, "cannot commit: the disk is full").caused_by(error);
        }
        error
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

//! Statements of the application in one hop: rusqlite in the transaction of a handler or request.

use crate::sqlite::thread::in_one_long_hop;
use crate::transaction::Transaction;
use consign_core::{Result, Tx};
use sqlx::SqliteConnection;

/// Runs statements through rusqlite, in the transaction at hand.
///
/// Through sqlx each statement goes to a thread of the connection's own and back, 20–50 µs; a
/// closure given to `run` goes through its statements where it is called, 1–2 µs each. So a handler
/// of many messages is several times as fast. `prepare_cached` keeps what it prepares from one call
/// to the next.
///
/// The connection is consign's: leave its transaction, its hooks and its pragmas as they are. A
/// savepoint of your own is fine (`execute_batch("SAVEPOINT …")`).
///
/// # Examples
/// ```no_run
/// # use consign_core as consign;
/// # use consign_sql::Run;
/// # type Tx = consign::Tx<sqlx::SqliteConnection>;
/// # struct Visited { page: i64 }
/// // with the feature `rusqlite`: use consign::sqlite::{Run, Tx, rusqlite};
/// async fn count(visits: Vec<Visited>, mut tx: Tx) -> consign::HandlerResult {
///     tx.run(|db| {
///         let mut count = db.prepare_cached(
///             "insert into visits (page, total) values (?1, 1)
///              on conflict (page) do update set total = total + 1",
///         )?;
///         for visit in &visits {
///             count.execute([visit.page])?;
///         }
///         Ok(())
///     })
///     .await?;
///     Ok(())
/// }
/// ```
pub trait Run {
    /// Runs `statements` on this thread, other tasks of the runtime go on meanwhile.
    ///
    /// A panic in it is a panic of the caller; the transaction stays as it is, and so it is rolled
    /// back with whoever is dropped.
    ///
    /// # Errors
    /// What `statements` answered, as the source of a `database`, `database-busy` or `database-full` error.
    /// What they wrote before stays in the transaction: roll it back, or answer the error.
    ///
    /// # Cancel safety
    /// Dropped before it is first polled, it has done nothing; afterwards it is done.
    fn run<T: Send>(
        &mut self,
        statements: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send,
    ) -> impl Future<Output = Result<T>> + Send;
}

impl Run for Tx<SqliteConnection> {
    async fn run<T: Send>(
        &mut self,
        statements: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send,
    ) -> Result<T> {
        in_one_long_hop(self, "run the application's statements", statements).await
    }
}

impl Run for Transaction {
    async fn run<T: Send>(
        &mut self,
        statements: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send,
    ) -> Result<T> {
        in_one_long_hop(self, "run the application's statements", statements).await
    }
}

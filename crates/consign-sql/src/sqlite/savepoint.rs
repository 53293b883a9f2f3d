//! A savepoint inside a worker's transaction, which handlers can neither release nor roll back.

use sqlx::{AssertSqlSafe, SqliteConnection};
use std::sync::Arc;
use uuid::Uuid;

/// One savepoint of a connection: set anew, it is released first.
///
/// All is said on sqlx's thread, behind whatever that was told before: a statement whose caller has
/// gone may not have run yet, and must not run after what it belongs to was taken back. Its name is
/// drawn, so that nobody's SQL names it by accident.
#[derive(Debug)]
pub(crate) struct Savepoint {
    first: Arc<str>,
    next: Arc<str>,
    take_back: Arc<str>,
    is_set: bool,
}

impl Savepoint {
    pub(crate) fn new() -> Self {
        let name = format!("consign_{}", Uuid::now_v7().simple());
        Self {
            first: format!("SAVEPOINT {name}").into(),
            next: format!("RELEASE {name}; SAVEPOINT {name}").into(),
            take_back: format!("ROLLBACK TO {name}").into(),
            is_set: false,
        }
    }

    /// A transaction has begun, or has ended: it is not set.
    pub(crate) fn forget(&mut self) {
        self.is_set = false;
    }

    /// What was written until now stays when [`Self::take_back`] comes.
    pub(crate) async fn set(&mut self, connection: &mut SqliteConnection) -> sqlx::Result<()> {
        let set = if self.is_set { &self.next } else { &self.first };
        say(connection, set).await?;
        self.is_set = true;
        Ok(())
    }

    /// Takes back what was written since [`Self::set`]; it stays set. Where it is not, SQLite
    /// refuses.
    pub(crate) async fn take_back(&self, connection: &mut SqliteConnection) -> sqlx::Result<()> {
        say(connection, &self.take_back).await
    }
}

async fn say(connection: &mut SqliteConnection, sql: &Arc<str>) -> sqlx::Result<()> {
    // The text is ours, all but a name of hexadecimal digits.
    let said = sqlx::query(AssertSqlSafe(Arc::clone(sql))).execute(connection).await;
    said.map(drop)
}

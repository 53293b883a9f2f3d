//! A database in a directory of its own, and the messages of these tests.

use consign::sqlite::Consign;
use consign::{Message, Sum};
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::time::{Duration, Instant};

/// A user's own pool on a fresh file, and consign on it.
pub(crate) struct Database {
    pub(crate) pool: SqlitePool,
    pub(crate) consign: Consign,
    pub(crate) folder: tempfile::TempDir,
}

#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(kind = "liked", version = 1, topic = "likes", key = article_id)]
pub(crate) struct Liked {
    pub(crate) article_id: i64,
}

pub(crate) const TABLES: &str = "create table likes (id integer primary key, article_id integer);
    create table like_counts (article_id integer primary key, likes integer not null) strict;";

pub(crate) fn options(folder: &std::path::Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(folder.join("app.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
}

impl Database {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pool = SqlitePoolOptions::new().connect_with(options(folder.path())).await.unwrap();
        sqlx::raw_sql(TABLES).execute(&pool).await.unwrap();
        let consign = Consign::open(&pool).await.unwrap();
        Self { pool, consign, folder }
    }

    /// The same file, opened as another process would.
    pub(crate) async fn again(&self) -> Consign {
        let pool = SqlitePool::connect_with(options(self.folder.path())).await.unwrap();
        Consign::open(&pool).await.unwrap()
    }

    /// One number.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// Waits until a number is as it should be, and says what it was in the end.
    pub(crate) async fn becomes(&self, sql: &'static str, wanted: i64) {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let found = self.number(sql).await;
            if found == wanted {
                return;
            }
            assert!(Instant::now() < until, "{sql} is {found} and not {wanted}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Writes a like and publishes it, as a request does.
    pub(crate) async fn like(&self, article_id: i64) -> consign::Result {
        let mut tx = self.consign.begin().await?;
        let insert = sqlx::query("insert into likes (article_id) values (?1)").bind(article_id);
        insert.execute(&mut *tx).await.unwrap();
        tx.publish(&Liked { article_id }).await?;
        tx.commit().await.map(drop)
    }
}

/// The number of likes of each article.
pub(crate) fn likes() -> Sum<Liked, impl Fn(&Liked) -> (i64, i64)> {
    Sum::into("like_counts", "article_id", "likes").by(|liked: &Liked| (liked.article_id, 1))
}

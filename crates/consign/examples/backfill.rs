//! A projection that starts late: it reads the old rows in pieces, then goes on with the messages.

use consign::sqlite::{Consign, Tx};
use consign::{Backfill, Batch, HandlerResult, Message, Projection, Resume, stream};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use std::error::Error;

#[derive(Serialize, Deserialize, Message)]
#[message(kind = "note.saved", topic = "notes", key = id)]
struct Saved {
    id: i64,
}

/// Keeps each note's number of letters. It reads the row as it is now, so a note may come twice.
struct Letters;

impl Projection<Tx> for Letters {
    type Event = Saved;

    async fn backfill(&self, from: Option<Resume>, mut tx: Tx) -> HandlerResult<Backfill> {
        let done = from.map_or(Ok(0), |place| place.parse::<i64>())?;
        let piece = "insert or replace into letters select id, length(text) from notes
                     where id > $1 order by id limit 40 returning id";
        let read: Vec<i64> = sqlx::query_scalar(piece).bind(done).fetch_all(&mut *tx).await?;
        Ok(read.iter().max().map_or(Backfill::Done, |last| Backfill::More(Resume::at(last))))
    }

    async fn apply(&self, batch: Batch<Saved>, mut tx: Tx) -> HandlerResult {
        let one = "insert or replace into letters select id, length(text) from notes where id = $1";
        for saved in &batch {
            sqlx::query(one).bind(saved.id).execute(&mut *tx).await?;
        }
        Ok(())
    }

    async fn reset(&self, mut tx: Tx) -> HandlerResult {
        sqlx::query("delete from letters").execute(&mut *tx).await?;
        Ok(())
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the example shows what happens")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("notes.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let db = SqlitePool::connect_with(options).await?;
    sqlx::raw_sql(
        "create table notes (id integer primary key, text text not null);
         create table letters (id integer primary key, n integer not null);
         with recursive old (id) as (select 1 union all select id + 1 from old where id < 100)
         insert into notes select id, 'old' from old;",
    )
    .execute(&db)
    .await?;

    let consign = Consign::open(&db).await?;
    let running = consign.workers().subscribe(stream("letters", Letters)).start().await?;
    let mut tx = consign.begin().await?;
    sqlx::query("insert into notes values (101, 'a new one')").execute(&mut *tx).await?;
    tx.publish(&Saved { id: 101 }).await?;
    tx.commit().await?;

    let mut changes = consign.changes();
    while consign.subscriptions().await?.iter().any(|subscription| subscription.lag > 0) {
        changes.next().await;
    }
    running.shutdown().await?;
    let letters: (i64, i64) =
        sqlx::query_as("select count(*), sum(n) from letters").fetch_one(&db).await?;
    println!("{} notes, {} letters", letters.0, letters.1);
    Ok(())
}

//! A projection by hand: a batch is folded, then written in one statement, exactly once.

use consign::sqlite::{Consign, Tx};
use consign::{Batch, HandlerResult, Message, Projection, stream};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use std::collections::BTreeMap;
use std::error::Error;

#[derive(Serialize, Deserialize, Message)]
#[message(kind = "film.rated", topic = "ratings", key = film)]
struct Rated {
    film: String,
    stars: u8,
}

/// Keeps the best rating of each film.
struct Best;

impl Projection<Tx> for Best {
    type Event = Rated;

    async fn apply(&self, batch: Batch<Rated>, mut tx: Tx) -> HandlerResult {
        let mut best = BTreeMap::new();
        for rated in &batch {
            let stars: &mut u8 = best.entry(&rated.film).or_default();
            *stars = rated.stars.max(*stars);
        }
        sqlx::query(
            "insert into best (film, stars) select key, value from json_each($1) where true
             on conflict (film) do update set stars = max(stars, excluded.stars)",
        )
        .bind(serde_json::to_string(&best)?)
        .execute(&mut *tx)
        .await?;
        Ok(())
    }

    async fn reset(&self, mut tx: Tx) -> HandlerResult {
        sqlx::query("delete from best").execute(&mut *tx).await?;
        Ok(())
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the example shows what happens")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("films.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let db = SqlitePool::connect_with(options).await?;
    sqlx::raw_sql("create table best (film text primary key, stars integer)").execute(&db).await?;
    let consign = Consign::open(&db).await?;

    let rated = |film: &str, stars| Rated { film: film.into(), stars };
    let ratings = [rated("Alien", 4), rated("Brazil", 3), rated("Alien", 5), rated("Alien", 2)];
    consign.publish_all(&ratings).await?;

    let running = consign.workers().subscribe(stream("best", Best)).start().await?;
    let mut changes = consign.changes();
    while consign.subscriptions().await?.iter().any(|subscription| subscription.lag > 0) {
        changes.next().await;
    }
    running.shutdown().await?;

    let rows: Vec<(String, i64)> =
        sqlx::query_as("select film, stars from best order by film").fetch_all(&db).await?;
    for (film, stars) in rows {
        println!("{film}: {stars}");
    }
    Ok(())
}

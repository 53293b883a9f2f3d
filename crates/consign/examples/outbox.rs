//! The message is written in the transaction of the row it tells of: both are there, or neither.

use consign::Message;
use consign::sqlite::Consign;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use std::error::Error;

#[derive(Serialize, Deserialize, Message)]
#[message(kind = "order.placed", topic = "orders", key = order_id)]
struct OrderPlaced {
    order_id: i64,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the example shows what happens")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("shop.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let db = SqlitePool::connect_with(options).await?;
    sqlx::raw_sql("create table orders (id integer primary key, item text not null)")
        .execute(&db)
        .await?;
    let consign = Consign::open(&db).await?;

    let mut tx = consign.begin().await?;
    let order_id = place("a bicycle", &mut tx).await?;
    tx.publish(&OrderPlaced { order_id }).await?;
    tx.rollback().await?;
    println!("rolled back, orders: {}", orders(&db).await?);

    let mut tx = consign.begin().await?;
    let order_id = place("a kettle", &mut tx).await?;
    tx.publish(&OrderPlaced { order_id }).await?;
    let receipt = tx.commit().await?;
    println!("committed, orders: {}, message: {receipt}", orders(&db).await?);

    // A transaction that sqlx began will do as well; other processes then notice by watching.
    let mut tx = db.begin_with("begin immediate").await?;
    let order_id = place("a lamp", &mut tx).await?;
    consign.publish_in(&mut tx, &OrderPlaced { order_id }).await?;
    tx.commit().await?;
    println!("committed by sqlx, orders: {}", orders(&db).await?);

    let receipt = consign.publish(&OrderPlaced { order_id: 1 }).await?;
    println!("in a transaction of its own, message: {receipt}");
    Ok(())
}

async fn place(item: &str, db: &mut sqlx::SqliteConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("insert into orders (item) values ($1) returning id")
        .bind(item)
        .fetch_one(db)
        .await
}

async fn orders(db: &SqlitePool) -> sqlx::Result<i64> {
    sqlx::query_scalar("select count(*) from orders").fetch_one(db).await
}

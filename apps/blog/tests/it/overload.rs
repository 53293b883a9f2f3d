//! A write lock that is not to be had.

use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::site::Site;

#[tokio::test]
async fn while_somebody_holds_the_database_writers_are_told_when_to_come_back() {
    let site = Site::start().await;
    let author = site.author().await;
    site.settled().await;
    let options = SqliteConnectOptions::new().filename(site.database());
    let mut holder = SqliteConnection::connect_with(&options).await.unwrap();
    let held = holder.begin_with("BEGIN IMMEDIATE").await.unwrap();

    let asked = Instant::now();
    let refused = author.client.publish("Not now", "or never").await;
    refused.expect_problem(503);
    assert!(asked.elapsed() < Duration::from_secs(10), "after {:?}", asked.elapsed());
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&seconds));
    // Readers do not wait for a writer.
    author.client.get("/").await.expect_status(200);
    author.client.get("/api/audit").await.expect_status(200);

    held.rollback().await.unwrap();
    let id = author.publish("Now", "and again").await;
    site.settled().await;
    assert_eq!(site.client().search("again").await.first(), Some(&id));
    assert!(site.client().search("never not now or").await.is_empty());
}

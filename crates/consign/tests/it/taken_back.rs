//! What a rollback to a savepoint takes back is forgotten, and what is refused takes nothing.

use crate::database::{Database, Liked, options};
use consign::Message;
use serde::{Deserialize, Serialize};
use sqlx::Connection;
use sqlx::sqlite::{SqlitePool, SqliteSynchronous};

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(kind = "moved", topic = "moves", key = n)]
struct Moved {
    n: i64,
}

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(kind = "named", topic = "names", key = n)]
struct Named {
    n: i64,
}

const TOPICS: &str = "select count(*) from consign_topic";
const STRAYED: &str = "select count(*) from consign_log log
    join consign_partition partition on partition.number = log.position >> 44
    join consign_topic topic on topic.id = partition.topic
    where (topic.name, log.kind) not in (values ('moves', 'moved'), ('names', 'named'))";

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_taken_back_is_created_again_and_shares_no_partition() {
    let d = Database::new().await;
    let mut tx = d.consign.begin().await.unwrap();
    sqlx::raw_sql("savepoint s").execute(&mut *tx).await.unwrap();
    tx.publish(&Moved { n: 1 }).await.unwrap();
    sqlx::raw_sql("rollback to s; release s").execute(&mut *tx).await.unwrap();
    let receipt = tx.commit().await.unwrap();
    assert!(receipt.messages().is_empty(), "{receipt} is not in the log");
    d.consign.publish(&Named { n: 1 }).await.unwrap();
    d.consign.publish(&Moved { n: 1 }).await.unwrap();
    assert_eq!((d.number(TOPICS).await, d.number(STRAYED).await), (2, 0));
}

/// The topic is known by now, so that nothing but the rollback itself gives a sign of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_tells_of_no_message_that_was_taken_back() {
    let ways = [
        ["savepoint s", "rollback to s"],
        ["SAVEPOINT s", " ;ROLLBACK TRANSACTION TO s; RELEASE s"],
        ["savepoint s", "/* it was not meant */ rollback to s"],
    ];
    let d = Database::new().await;
    for way in ways {
        let mut tx = d.consign.begin().await.unwrap();
        tx.publish(&Moved { n: 1 }).await.unwrap();
        sqlx::raw_sql(way[0]).execute(&mut *tx).await.unwrap();
        tx.publish(&Moved { n: 1 }).await.unwrap();
        tx.publish(&Moved { n: 1 }).await.unwrap();
        sqlx::raw_sql(way[1]).execute(&mut *tx).await.unwrap();
        tx.publish(&Moved { n: 1 }).await.unwrap();
        let receipt = tx.commit().await.unwrap();
        let offsets = receipt.messages().iter().map(|m| m.offset.0).collect::<Vec<_>>();
        assert_eq!(offsets[1], offsets[0] + 1, "{receipt} after {way:?}");
        assert_eq!(offsets.len(), 2, "{receipt} after {way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_tells_of_no_message_of_a_nested_transaction_that_was_dropped() {
    let d = Database::new().await;
    d.consign.publish(&Moved { n: 1 }).await.unwrap();
    let mut tx = d.consign.begin().await.unwrap();
    tx.publish(&Moved { n: 1 }).await.unwrap();
    let mut nested = tx.begin().await.unwrap();
    sqlx::query("delete from consign_log").execute(&mut *nested).await.unwrap();
    drop(nested);
    let receipt = tx.commit().await.unwrap();
    assert_eq!(receipt.messages().len(), 1, "it came before the nested one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_is_refused_leaves_no_gap() {
    let d = Database::new().await;
    d.consign.publish(&Liked { article_id: 1 }).await.unwrap();
    let normal = options(d.folder.path()).synchronous(SqliteSynchronous::Normal);
    let pool = SqlitePool::connect_with(normal).await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    let refused = d.consign.publish_in(&mut tx, &Liked { article_id: 1 }).await;
    assert_eq!(refused.unwrap_err().code(), "not-durable");
    tx.commit().await.unwrap();
    let receipt = d.consign.publish(&Liked { article_id: 1 }).await.unwrap();
    assert_eq!(receipt.messages()[0].offset.0, 1, "an offset without a message stops its readers");
}

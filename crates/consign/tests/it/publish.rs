//! Publishing: a message is there if and only if its transaction committed.

use crate::database::{Database, Liked, TABLES, options};
use consign::sqlite::Consign;
use consign::{Message, topic};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteJournalMode, SqlitePool, SqliteSynchronous};

const LOG: &str = "select count(*) from consign_log";

#[tokio::test]
async fn a_message_is_there_if_and_only_if_its_transaction_committed() {
    let d = Database::new().await;
    let mut tx = d.consign.begin().await.unwrap();
    sqlx::query("insert into likes (article_id) values (1)").execute(&mut *tx).await.unwrap();
    tx.publish(&Liked { article_id: 1 }).await.unwrap();
    drop(tx);
    d.like(2).await.unwrap();
    assert_eq!(d.number(LOG).await, 1);
    assert_eq!(d.number("select sum(article_id) from likes").await, 2);
}

/// A publish that waited in a buffer would survive this.
#[tokio::test]
async fn a_rollback_to_a_savepoint_takes_its_messages_back() {
    let d = Database::new().await;
    let mut tx = d.consign.begin().await.unwrap();
    tx.publish(&Liked { article_id: 1 }).await.unwrap();
    sqlx::query("savepoint s").execute(&mut *tx).await.unwrap();
    tx.publish(&Liked { article_id: 1 }).await.unwrap();
    sqlx::query("rollback to s").execute(&mut *tx).await.unwrap();
    tx.publish(&Liked { article_id: 1 }).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(d.number(LOG).await, 2);
    let offsets =
        "select count(distinct position) + max(position & 0xfffffffffff) from consign_log";
    assert_eq!(d.number(offsets).await, 3, "offsets stay dense");
}

#[tokio::test]
async fn every_place_writes_the_same_row() {
    let d = Database::new().await;
    let liked = Liked { article_id: 7 };
    let receipt = d.consign.publish(&liked).await.unwrap();
    d.consign.publish_all(&vec![liked.clone(); 2]).await.unwrap();
    let mut tx = d.consign.begin().await.unwrap();
    let ids = tx.publish_all(&vec![liked.clone(); 2]).await.unwrap();
    assert!(ids[0] < ids[1]);
    assert!(tx.publish_all::<Liked>(&[]).await.unwrap().is_empty());
    tx.commit().await.unwrap();
    let mut foreign = d.pool.begin().await.unwrap();
    d.consign.publish_in(&mut foreign, &liked).await.unwrap();
    foreign.commit().await.unwrap();
    let same = "select count(*) from consign_log where kind = 'liked' and version = 1
                and key = cast('7' as blob) and payload = cast('{\"article_id\":7}' as blob)";
    assert_eq!(d.number(same).await, 6);
    let partitions = "select count(distinct position >> 44) from consign_log";
    assert_eq!(d.number(partitions).await, 1, "one key, one partition");
    assert_eq!(receipt.messages().len(), 1);
    assert_eq!(receipt.to_string(), format!("likes/{}/0", receipt.messages()[0].partition));
}

#[tokio::test]
async fn keyless_messages_go_round_and_headers_travel() {
    #[derive(Debug, Serialize, Deserialize, Message)]
    #[message(kind = "ticked")]
    struct Ticked {
        n: i64,
    }
    let d = Database::new().await;
    for n in 0..8 {
        let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        d.consign.publish(&Ticked { n }).header("traceparent", header).await.unwrap();
    }
    assert_eq!(d.number("select count(distinct position >> 44) from consign_log").await, 8);
    let found =
        "select count(*) from consign_log where json_extract(headers, '$.traceparent') like '00-%'";
    assert_eq!(d.number(found).await, 8);
}

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(kind = "bounded", key = key)]
struct Bounded {
    key: String,
    text: String,
}

#[tokio::test]
async fn what_is_out_of_bounds_is_refused_before_anything_is_written() {
    let d = Database::new().await;
    let bounded = |key, text| Bounded { key: "k".repeat(key), text: "t".repeat(text) };
    let code = async |message: &Bounded| {
        let mut tx = d.consign.begin().await.unwrap();
        let refused = tx.publish(message).await.unwrap_err();
        tx.commit().await.unwrap();
        refused.code()
    };
    assert_eq!(code(&bounded(256, 1)).await, "key-too-long");
    assert_eq!(code(&bounded(1, 256 * 1024)).await, "payload-too-large");
    let large = "h".repeat(8 * 1024);
    let refused = d.consign.publish(&bounded(1, 1)).header("x", &large).await.unwrap_err();
    assert_eq!(refused.code(), "headers-too-large");
    let many = (0..10_001).map(|_| Liked { article_id: 1 }).collect::<Vec<_>>();
    assert_eq!(d.consign.publish_all(&many).await.unwrap_err().code(), "too-many-messages");
    assert_eq!(d.number(LOG).await, 0);
    d.consign.publish(&bounded(255, 200 * 1024)).await.unwrap();
    assert_eq!(d.number(LOG).await, 1);
}

#[tokio::test]
async fn publishing_below_full_is_refused_with_what_to_set() {
    let d = Database::new().await;
    let normal = options(d.folder.path()).synchronous(SqliteSynchronous::Normal);
    let pool = SqlitePool::connect_with(normal).await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    let refused = d.consign.publish_in(&mut tx, &Liked { article_id: 1 }).await.unwrap_err();
    assert_eq!(refused.code(), "not-durable");
    assert!(refused.to_string().contains("SqliteSynchronous::Full"), "{refused}");
    tx.commit().await.unwrap();
    assert_eq!(d.number(LOG).await, 0);
}

#[tokio::test]
async fn publishing_after_a_raw_commit_is_refused() {
    let d = Database::new().await;
    let mut tx = d.pool.begin().await.unwrap();
    sqlx::query("insert into likes (article_id) values (1)").execute(&mut *tx).await.unwrap();
    sqlx::query("commit").execute(&mut *tx).await.unwrap();
    let refused = d.consign.publish_in(&mut tx, &Liked { article_id: 1 }).await.unwrap_err();
    assert_eq!(refused.code(), "no-transaction");
    assert_eq!(d.number(LOG).await, 0);
}

#[tokio::test]
async fn a_deferred_transaction_that_cannot_upgrade_is_told_to_begin_immediate() {
    let d = Database::new().await;
    let mut tx = d.pool.begin().await.unwrap();
    sqlx::query("select count(*) from likes").execute(&mut *tx).await.unwrap();
    d.like(1).await.unwrap();
    let refused = d.consign.publish_in(&mut tx, &Liked { article_id: 1 }).await.unwrap_err();
    assert_eq!(refused.code(), "stale-snapshot");
    assert!(refused.to_string().contains("BEGIN IMMEDIATE"), "{refused}");
}

#[tokio::test]
async fn a_topic_keeps_its_number_of_partitions() {
    let d = Database::new().await;
    let wide = || Consign::builder(&d.pool).topic(topic::<Bounded>().partitions(64)).open();
    let consign = wide().await.unwrap();
    for n in 0..200 {
        let message = Bounded { key: n.to_string(), text: String::new() };
        consign.publish(&message).await.unwrap();
    }
    assert!(d.number("select count(distinct position >> 44) from consign_log").await > 50);
    wide().await.unwrap();
    let other = Consign::builder(&d.pool).topic(topic::<Bounded>().partitions(8)).open().await;
    let refused = other.unwrap_err();
    assert_eq!(refused.code(), "other-partitions");
    assert!(refused.to_string().contains("64"), "{refused}");
    let none = Consign::builder(&d.pool).topic(topic::<Liked>().partitions(0)).open().await;
    assert_eq!(none.unwrap_err().code(), "bad-partitions");
}

#[tokio::test]
async fn a_database_without_wal_is_refused_with_the_line_that_changes_it() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path()).journal_mode(SqliteJournalMode::Delete);
    let refused = Consign::open(&SqlitePool::connect_with(options).await.unwrap()).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), "no-wal");
    assert!(refused.to_string().contains(".journal_mode(SqliteJournalMode::Wal)"), "{refused}");
}

#[tokio::test]
async fn a_database_in_memory_is_refused_since_it_has_no_file() {
    let pool = SqlitePool::connect("sqlite::memory:").await.unwrap();
    let refused = Consign::open(&pool).await.unwrap_err();
    assert_eq!(refused.code(), "no-wal");
    assert!(refused.to_string().contains("consign needs a file"), "{refused}");
}

#[tokio::test]
async fn an_open_that_is_refused_creates_no_topic() {
    let d = Database::new().await;
    d.consign.publish(&Liked { article_id: 1 }).await.unwrap();
    let both = Consign::builder(&d.pool)
        .topic(topic::<Bounded>())
        .topic(topic::<Liked>().partitions(9))
        .open();
    assert_eq!(both.await.unwrap_err().code(), "other-partitions");
    assert_eq!(d.number("select count(*) from consign_topic").await, 1);
}

#[tokio::test]
async fn the_tables_of_a_newer_consign_are_refused() {
    let d = Database::new().await;
    sqlx::raw_sql("update consign_meta set value = '99'").execute(&d.pool).await.unwrap();
    assert_eq!(Consign::open(&d.pool).await.unwrap_err().code(), "schema-too-new");
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_open_a_fresh_database_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pool = SqlitePool::connect_with(options(folder.path())).await.unwrap();
    sqlx::raw_sql(TABLES).execute(&pool).await.unwrap();
    let opens = (0..8).map(|_| {
        let options = options(folder.path());
        tokio::spawn(async move {
            let consign = Consign::open(&SqlitePool::connect_with(options).await.unwrap()).await;
            consign.unwrap().publish(&Liked { article_id: 1 }).await.unwrap();
        })
    });
    for open in opens.collect::<Vec<_>>() {
        open.await.unwrap();
    }
    let rows = sqlx::query_scalar::<_, i64>(LOG).fetch_one(&pool).await.unwrap();
    assert_eq!(rows, 8);
}

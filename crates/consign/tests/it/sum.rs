//! A sum whose table is not as it must be is refused before anything is read.

use crate::database::{Database, Liked};
use consign::{Sum, stream};

const TABLE: &str =
    "create table like_sums (article_id integer primary key, likes integer not null) strict";

async fn start(d: &Database) -> consign::Result {
    let sum = Sum::into("like_sums", "article_id", "likes").by(|like: &Liked| (like.article_id, 1));
    let running = d.consign.workers().subscribe(stream("sums", sum)).start().await?;
    running.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sum_without_its_table_column_or_unique_key_is_refused_with_the_ddl() {
    let wrong = [
        ("no table", "select 1"),
        ("no key", "create table like_sums (likes integer not null) strict"),
        ("no column", "create table like_sums (article_id integer primary key) strict"),
        ("no unique key", "create table like_sums (article_id integer, likes integer not null)"),
    ];
    for (name, sql) in wrong {
        let d = Database::new().await;
        d.like(1).await.unwrap();
        sqlx::raw_sql(sql).execute(&d.pool).await.unwrap();
        let refused = start(&d).await.unwrap_err();
        assert_eq!(refused.code(), "sum-table", "{name}");
        assert!(refused.to_string().contains(TABLE), "{name}: {refused}");
        // It does not stand there as if somebody read for it.
        assert!(d.consign.subscriptions().await.unwrap().is_empty(), "{name}");
    }
}

/// What the error prints is what helps.
#[tokio::test(flavor = "multi_thread")]
async fn the_ddl_of_the_refusal_is_what_was_missing() {
    let d = Database::new().await;
    d.like(7).await.unwrap();
    let refused = start(&d).await.unwrap_err().to_string();
    let ddl = refused.split_once("start: ").expect("it says what to make").1.to_owned();
    sqlx::raw_sql(sqlx::AssertSqlSafe(ddl)).execute(&d.pool).await.unwrap();
    let sum = Sum::into("like_sums", "article_id", "likes").by(|like: &Liked| (like.article_id, 1));
    let running = d.consign.workers().subscribe(stream("sums", sum)).start().await.unwrap();
    d.becomes("select coalesce(sum(likes), 0) from like_sums where article_id = 7", 1).await;
    running.shutdown().await.unwrap();
}

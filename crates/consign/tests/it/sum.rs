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

#[tokio::test(flavor = "multi_thread")]
async fn a_sum_that_is_null_counts_as_nothing() {
    let d = Database::new().await;
    let table = "create table like_sums (article_id integer primary key, likes integer);
        insert into like_sums (article_id) values (1), (2)";
    sqlx::raw_sql(table).execute(&d.pool).await.unwrap();
    let sum = Sum::into("like_sums", "article_id", "likes").by(|like: &Liked| (like.article_id, 1));
    let sum = stream("sums", sum.backfill("select 1, 5"));
    let running = d.consign.workers().subscribe(sum).start().await.unwrap();
    d.becomes("select coalesce(sum(likes), 0) from like_sums", 5).await;
    d.like(1).await.unwrap();
    d.like(2).await.unwrap();
    d.becomes("select likes from like_sums where article_id = 1", 6).await;
    d.becomes("select coalesce(likes, 0) from like_sums where article_id = 2", 1).await;
    running.shutdown().await.unwrap();
}

/// In a batch, and in the table; the subscription goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_sum_stays_at_the_end_of_its_range() {
    let d = Database::new().await;
    let table = "create table like_sums (article_id integer primary key, likes integer not null) \
                 strict; insert into like_sums values (-1, -9223372036854775807)";
    sqlx::raw_sql(table).execute(&d.pool).await.unwrap();
    let by =
        |like: &Liked| (like.article_id, if like.article_id < 0 { i64::MIN } else { i64::MAX });
    let sum = Sum::into("like_sums", "article_id", "likes").by(by);
    let running = d.consign.workers().subscribe(stream("sums", sum)).start().await.unwrap();
    let liked = |article_id| Liked { article_id };
    d.consign.publish_all(&[liked(1), liked(1), liked(-1)]).await.unwrap();
    d.becomes("select coalesce(sum(likes), 0) from like_sums where article_id = 1", i64::MAX).await;
    d.becomes("select likes from like_sums where article_id = -1", i64::MIN).await;
    d.consign.publish_all(&[liked(1), liked(-1), liked(2)]).await.unwrap();
    d.becomes("select coalesce(sum(likes), 0) from like_sums where article_id = 2", i64::MAX).await;
    d.becomes("select likes from like_sums where article_id = 1", i64::MAX).await;
    d.becomes("select likes from like_sums where article_id = -1", i64::MIN).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sum_whose_table_cannot_be_inserted_into_is_refused_with_the_columns() {
    let d = Database::new().await;
    let table = "create table like_sums (id integer primary key not null, title text not null,
        article_id integer not null unique, likes integer not null, note text,
        shown integer not null default 1)";
    sqlx::raw_sql(table).execute(&d.pool).await.unwrap();
    let refused = start(&d).await.unwrap_err();
    assert_eq!(refused.code(), "sum-table");
    assert!(refused.to_string().contains("without a default: title; give"), "{refused}");
    sqlx::raw_sql("alter table like_sums drop column title").execute(&d.pool).await.unwrap();
    start(&d).await.unwrap();
}

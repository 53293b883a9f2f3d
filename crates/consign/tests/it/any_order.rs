//! Projections that are read as queues, since any order will do.

use crate::database::{Database, Liked, likes};
use consign::sqlite::Tx;
use consign::{
    AnyOrder, Backfill, Batch, HandlerResult, Projection, Resume, Retry, Sum, Upkeep, queue, stream,
};
use std::time::Duration;

const ALL: &str = "select coalesce(sum(likes), 0) from like_counts";
const OWNED: &str = "select count(*) from consign_cursor where owner is not null";

#[tokio::test(flavor = "multi_thread")]
async fn a_sum_counts_as_a_queue_what_it_counts_as_a_stream() {
    let d = Database::new().await;
    sqlx::raw_sql("create table likes_again (article_id integer primary key, likes integer)")
        .execute(&d.pool)
        .await
        .unwrap();
    let again = Sum::into("likes_again", "article_id", "likes").by(|m: &Liked| (m.article_id, 1));
    let workers = d.consign.workers().subscribe(stream("likes", likes()));
    let running = workers.subscribe(queue("again", again).from_start()).start().await.unwrap();
    let all = (0..5_000).map(|n| Liked { article_id: n % 100 }).collect::<Vec<_>>();
    d.consign.publish_all(&all).await.unwrap();
    d.becomes(ALL, 5_000).await;
    d.becomes("select coalesce(sum(likes), 0) from likes_again", 5_000).await;
    running.shutdown().await.unwrap();
    let other = "select count(*) from (select * from like_counts except select * from likes_again)";
    assert_eq!(d.number(other).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_there_before_count_once_beside_a_queue() {
    let d = Database::new().await;
    for article_id in [1, 1, 2] {
        d.like(article_id).await.unwrap();
    }
    let counts = || likes().backfill("select article_id, count(*) from likes group by article_id");
    for likes in [4, 5] {
        let running =
            d.consign.workers().subscribe(queue("likes", counts())).start().await.unwrap();
        d.like(1).await.unwrap();
        d.becomes(ALL, likes).await;
        running.shutdown().await.unwrap();
    }
    d.becomes("select likes from like_counts where article_id = 1", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_backfill_a_queue_of_a_sum_starts_at_the_logs_end() {
    let d = Database::new().await;
    d.like(1).await.unwrap();
    let running = d.consign.workers().subscribe(queue("likes", likes())).start().await.unwrap();
    d.becomes(OWNED, 8).await;
    d.like(2).await.unwrap();
    d.becomes("select coalesce(sum(likes), 0) from like_counts where article_id = 2", 1).await;
    running.shutdown().await.unwrap();
    assert_eq!(d.number(ALL).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_a_sum_without_its_table_is_refused_at_start() {
    let d = Database::new().await;
    let sum = Sum::into("nowhere", "article_id", "likes").by(|m: &Liked| (m.article_id, 1));
    let refused = d.consign.workers().subscribe(queue("sums", sum)).start().await.unwrap_err();
    assert_eq!(refused.code(), "sum-table");
}

/// Keeps each like that there is; reads the current row.
struct Found;

impl AnyOrder for Found {}

const FOUND: &str = "create table found (like_id integer primary key, tidy integer default 0)";

impl Projection<Tx> for Found {
    type Event = Liked;

    async fn apply(&self, batch: Batch<Liked>, mut tx: Tx) -> HandlerResult {
        for event in &batch {
            let insert = "insert into found (like_id) select id from likes where article_id = ?1
                          on conflict do nothing";
            sqlx::query(insert).bind(event.article_id).execute(&mut *tx).await?;
        }
        Ok(())
    }

    async fn reset(&self, mut tx: Tx) -> HandlerResult {
        sqlx::query("delete from found").execute(&mut *tx).await?;
        Ok(())
    }

    /// Three at a time; refused by the table's key if a piece were made twice.
    async fn backfill(&self, from: Option<Resume>, mut tx: Tx) -> HandlerResult<Backfill> {
        let after = from.map_or(Ok(0), |from| from.parse::<i64>())?;
        let piece = "insert into found (like_id) select id from likes where id > ?1
                     order by id limit 3 returning like_id";
        let piece = sqlx::query_scalar::<_, i64>(piece).bind(after).fetch_all(&mut *tx).await?;
        let last = piece.into_iter().max();
        Ok(last.map_or(Backfill::Done, |last| Backfill::More(Resume::at(last))))
    }

    async fn upkeep(&self, mut tx: Tx) -> HandlerResult<Upkeep> {
        let tidy = "update found set tidy = 1 where like_id in
                    (select like_id from found where tidy = 0 limit 50)";
        let tidied = sqlx::query(tidy).execute(&mut *tx).await?.rows_affected();
        Ok(if tidied > 0 { Upkeep::More } else { Upkeep::Done })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_a_projection_has_its_backfill_in_pieces_and_its_upkeep() {
    let d = Database::new().await;
    sqlx::raw_sql(FOUND).execute(&d.pool).await.unwrap();
    for article_id in 0..20 {
        d.like(article_id).await.unwrap();
    }
    let running = d.consign.workers().subscribe(queue("found", Found)).start().await.unwrap();
    d.becomes("select count(*) from found", 20).await;
    for article_id in 20..200 {
        d.like(article_id).await.unwrap();
    }
    d.becomes("select count(*) from found", 200).await;
    d.becomes("select count(*) from found where tidy = 1", 200).await;
    running.shutdown().await.unwrap();
}

/// Publishes what it reads, which no projection may.
struct Echoes;

impl AnyOrder for Echoes {}

impl Projection<Tx> for Echoes {
    type Event = Liked;

    async fn apply(&self, batch: Batch<Liked>, mut tx: Tx) -> HandlerResult {
        for event in &batch {
            tx.publish(&Liked { article_id: event.article_id + 1_000 }).await?;
        }
        Ok(())
    }

    async fn reset(&self, _: Tx) -> HandlerResult {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_is_read_as_a_queue_publishes_nothing() {
    let d = Database::new().await;
    for article_id in [1, 2] {
        d.consign.publish(&Liked { article_id }).await.unwrap();
    }
    let retry = Retry::exponential(Duration::from_millis(1), Duration::from_millis(1));
    let echoes = queue("echoes", Echoes).from_start().retry(retry.max_attempts(2));
    let running = d.consign.workers().subscribe(echoes).start().await.unwrap();
    let said = "select count(*) from consign_dead_letter
        where last_error like '%a projection publishes nothing%'";
    d.becomes(said, 2).await;
    running.shutdown().await.unwrap();
    assert_eq!(d.number("select count(*) from consign_log").await, 2);
}

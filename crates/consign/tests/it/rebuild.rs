//! A read model that has become wrong is built anew, in place and beside.

use crate::database::{Database, Liked, likes};
use consign::sqlite::{Consign, Tx};
use consign::{
    Backfill, Batch, HandlerResult, Projection, Rebuild, Resume, Retry, Running, Sum, queue, stream,
};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);
const LIKES: &str = "select coalesce(sum(likes), 0) from like_counts";
const WRONG: &str = "select count(*) from (select article_id, count(*) n from likes group by 1)
    full join like_counts using (article_id) where likes is not n";
/// What was passed and marked, and is not accounted for.
const LOST: &str = "select sum(abs(next_offset - started_offset + marked
    - applied - dead - waiting - discarded)) from consign_cursor";

async fn catches_up(consign: &Consign, name: &str) {
    let caught_up = consign.caught_up(name, None).timeout(LONG).await.unwrap();
    assert!(caught_up.is_caught_up(), "{name}: {caught_up:?}");
}

async fn like(d: &Database, likes: std::ops::Range<i64>) {
    for article_id in likes {
        d.like(article_id % 7).await.unwrap();
    }
}

async fn spoil(d: &Database) {
    let spoil =
        "update like_counts set likes = likes + 100; insert into like_counts values (99, 1)";
    sqlx::raw_sql(spoil).execute(&d.pool).await.unwrap();
}

/// One process.
async fn start(consign: &Consign) -> Running {
    consign.workers().subscribe(stream("likes", likes())).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_backfill_the_log_is_read_again_by_all_processes() {
    let d = Database::new().await;
    let other = d.again().await;
    let running = [start(&d.consign).await, start(&other).await];
    like(&d, 0..200).await;
    catches_up(&d.consign, "likes").await;
    for _ in 0..3 {
        spoil(&d).await;
        let (d, consign) = (&d, d.consign.clone());
        let rebuilt = tokio::spawn(async move { consign.rebuild("likes").await });
        like(d, 0..50).await;
        assert_eq!(rebuilt.await.unwrap().unwrap(), Rebuild::Begun);
        catches_up(&d.consign, "likes").await;
        let wrong = "select count(*) from like_counts where article_id <> 99 and likes <> (
            select count(*) from likes where likes.article_id = like_counts.article_id)";
        assert_eq!(d.number(wrong).await, 0);
        assert_eq!(d.number("select likes from like_counts where article_id = 99").await, 0);
        sqlx::raw_sql("delete from like_counts where article_id = 99")
            .execute(&d.pool)
            .await
            .unwrap();
    }
    assert_eq!(d.number(LIKES).await, 350);
    assert_eq!(d.number(LOST).await, 0);
    for running in running {
        running.shutdown().await.unwrap();
    }
}

/// The log loses its first messages in each partition.
async fn lose_start(d: &Database, messages: i64) {
    let delete = "delete from consign_log where (position & 0xfffffffffff) < ?1";
    let move_on = "update consign_partition set first_offset = ?1 where next_offset >= ?1";
    for sql in [delete, move_on] {
        sqlx::query(sql).bind(messages).execute(&d.pool).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_takes_the_place_of_what_the_log_no_longer_has() {
    let d = Database::new().await;
    let counts = || likes().backfill("select article_id, count(*) from likes group by article_id");
    let workers = d.consign.workers().subscribe(stream("likes", counts()));
    let running = workers.start().await.unwrap();
    like(&d, 0..100).await;
    catches_up(&d.consign, "likes").await;
    lose_start(&d, 3).await;
    spoil(&d).await;
    let consign = d.consign.clone();
    let rebuilt = tokio::spawn(async move { consign.rebuild("likes").await });
    like(&d, 0..100).await;
    assert_eq!(rebuilt.await.unwrap().unwrap(), Rebuild::Begun);
    catches_up(&d.consign, "likes").await;
    sqlx::raw_sql("delete from like_counts where likes = 0").execute(&d.pool).await.unwrap();
    assert_eq!(d.number(WRONG).await, 0);
    assert_eq!(d.number(LOST).await, 0);
    running.shutdown().await.unwrap();
}

async fn handle(_: Liked) -> HandlerResult {
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_neither_can_fill_it_a_rebuild_is_refused_and_nothing_is_changed() {
    let d = Database::new().await;
    let unknown = d.consign.rebuild("likes").await.unwrap_err();
    assert_eq!(unknown.code(), "no-such-subscription");
    let running = start(&d.consign).await;
    like(&d, 0..50).await;
    catches_up(&d.consign, "likes").await;
    lose_start(&d, 1).await;
    let refused = d.consign.rebuild("likes").await.unwrap_err();
    assert_eq!(refused.code(), "cannot-rebuild");
    assert!(refused.to_string().contains("give it a backfill"), "{refused}");
    like(&d, 0..10).await;
    catches_up(&d.consign, "likes").await;
    assert_eq!(d.number(LIKES).await, 60);
    running.shutdown().await.unwrap();
    let running = d.consign.workers().subscribe(queue("handler", handle)).start().await.unwrap();
    let refused = d.consign.rebuild("handler").await.unwrap_err();
    assert_eq!(refused.code(), "cannot-rebuild");
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_nobody_can_take_up_is_done_by_the_first_who_starts() {
    let d = Database::new().await;
    let running = start(&d.consign).await;
    like(&d, 0..50).await;
    catches_up(&d.consign, "likes").await;
    running.shutdown().await.unwrap();
    spoil(&d).await;
    assert_eq!(d.consign.rebuild("likes").await.unwrap(), Rebuild::Asked);
    let running = start(&d.consign).await;
    catches_up(&d.consign, "likes").await;
    assert_eq!(d.number(LIKES).await, 50);
    running.shutdown().await.unwrap();
}

/// Counts as a queue, with a backfill or without.
async fn is_built_anew_as_a_queue(has_backfill: bool) {
    let counts = || {
        let backfill = "select article_id, count(*) from likes group by article_id";
        if has_backfill { likes().backfill(backfill) } else { likes() }
    };
    let d = Database::new().await;
    like(&d, 0..70).await;
    let other = d.again().await;
    let running = [
        d.consign.workers().subscribe(queue("likes", counts())).start().await.unwrap(),
        other.workers().subscribe(queue("likes", counts())).start().await.unwrap(),
    ];
    d.becomes("select count(distinct owner) from consign_cursor", 2).await;
    let mut all = if has_backfill { 70 } else { 0 };
    for _ in 0..3 {
        like(&d, 0..100).await;
        catches_up(&d.consign, "likes").await;
        spoil(&d).await;
        let (d, consign) = (&d, d.consign.clone());
        let rebuilt = tokio::spawn(async move { consign.rebuild("likes").await });
        like(d, 0..50).await;
        assert_eq!(rebuilt.await.unwrap().unwrap(), Rebuild::Begun);
        catches_up(&d.consign, "likes").await;
        all += 150;
        assert_eq!(d.number(LIKES).await, all);
        assert_eq!(d.number("select likes from like_counts where article_id = 99").await, 0);
        sqlx::raw_sql("delete from like_counts where article_id = 99")
            .execute(&d.pool)
            .await
            .unwrap();
        if has_backfill {
            assert_eq!(d.number(WRONG).await, 0);
        }
    }
    assert_eq!(d.number(LOST).await, 0);
    d.becomes("select count(distinct owner) from consign_cursor", 2).await;
    for running in running {
        running.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_a_projection_is_built_anew_by_its_backfill() {
    is_built_anew_as_a_queue(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_a_projection_without_a_backfill_is_built_anew_from_where_it_began() {
    is_built_anew_as_a_queue(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_whose_beginning_the_log_has_lost_is_not_rebuilt_and_goes_on() {
    let d = Database::new().await;
    let likes = queue("likes", likes()).from_start();
    let running = d.consign.workers().subscribe(likes).start().await.unwrap();
    like(&d, 0..50).await;
    catches_up(&d.consign, "likes").await;
    lose_start(&d, 3).await;
    let refused = d.consign.rebuild("likes").await.unwrap_err();
    assert_eq!(refused.code(), "cannot-rebuild");
    assert!(refused.to_string().contains("give it a backfill"), "{refused}");
    like(&d, 0..10).await;
    catches_up(&d.consign, "likes").await;
    assert_eq!(d.number(LIKES).await, 60);
    let cause = d.consign.subscriptions().await.unwrap().remove(0).cause.unwrap_or_default();
    let said = "its last rebuild was refused: its projection has no backfill";
    assert!(cause.contains(said), "{cause}");
    running.shutdown().await.unwrap();
}

/// Keeps the articles that have likes, and refuses one.
struct Liking;

impl Projection<Tx> for Liking {
    type Event = Liked;

    async fn apply(&self, batch: Batch<Liked>, mut tx: Tx) -> HandlerResult {
        for event in &batch {
            if event.article_id == 13 {
                Err("thirteen is refused")?;
            }
            let insert = "insert into liked values (?1) on conflict do nothing";
            sqlx::query(insert).bind(event.article_id).execute(&mut *tx).await?;
        }
        Ok(())
    }

    async fn reset(&self, mut tx: Tx) -> HandlerResult {
        sqlx::query("delete from liked").execute(&mut *tx).await?;
        Ok(())
    }

    /// Ten rows a piece; refused by the table's key if a piece were made twice.
    async fn backfill(&self, from: Option<Resume>, mut tx: Tx) -> HandlerResult<Backfill> {
        let after = from.map_or(Ok(0), |from| from.parse::<i64>())?;
        tokio::time::sleep(Duration::from_millis(5)).await;
        let piece = "insert into liked select id from articles where id > ?1 order by id limit 10
                     returning article_id";
        let piece = sqlx::query_scalar::<_, i64>(piece).bind(after).fetch_all(&mut *tx).await?;
        Ok(piece.into_iter().max().map_or(Backfill::Done, |id| Backfill::More(Resume::at(id))))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_in_pieces_goes_on_and_what_waited_and_was_dead_is_gone() {
    let tables = "create table liked (article_id integer primary key) strict;
        create table articles (id integer primary key) strict;
        with recursive n (id) as (select 100 union all select id + 1 from n where id < 599)
        insert into articles select id from n";
    let d = Database::new().await;
    sqlx::raw_sql(tables).execute(&d.pool).await.unwrap();
    let retry = Retry::exponential(Duration::from_millis(1), Duration::from_millis(1));
    let liking = || stream("liking", Liking).retry(retry.max_attempts(2));
    let other = d.again().await;
    let running = [
        d.consign.workers().subscribe(liking()).start().await.unwrap(),
        other.workers().subscribe(liking()).start().await.unwrap(),
    ];
    catches_up(&d.consign, "liking").await;
    for article_id in [1, 13, 2, 13] {
        d.consign.publish(&Liked { article_id }).await.unwrap();
    }
    d.becomes("select count(*) from consign_dead_letter", 2).await;
    catches_up(&d.consign, "liking").await;
    assert_eq!(d.number("select count(*) from liked").await, 502);
    sqlx::raw_sql("delete from liked where article_id > 300; insert into liked values (1000)")
        .execute(&d.pool)
        .await
        .unwrap();
    assert_eq!(d.consign.rebuild("liking").await.unwrap(), Rebuild::Begun);
    let state = "select count(*) from consign_subscription where rebuild = 'begun'";
    assert_eq!(d.number(state).await, 1, "it is in the middle of it");
    d.consign.publish(&Liked { article_id: 3 }).await.unwrap();
    catches_up(&d.consign, "liking").await;
    assert_eq!(d.number(state).await, 0);
    assert_eq!(d.number("select count(*) from liked").await, 501, "500 articles and one event");
    assert_eq!(d.number("select count(*) from consign_dead_letter").await, 0);
    assert_eq!(d.number("select sum(dead) from consign_cursor").await, 0);
    assert_eq!(d.number(LOST).await, 0);
    for running in running {
        running.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_the_new_read_model_takes_over_when_it_has_caught_up_and_the_old_one_is_removed() {
    let d = Database::new().await;
    let table = "create table doubled (article_id integer primary key, likes integer) strict";
    sqlx::raw_sql(table).execute(&d.pool).await.unwrap();
    let old = start(&d.consign).await;
    like(&d, 0..300).await;
    catches_up(&d.consign, "likes").await;
    let doubled = Sum::into("doubled", "article_id", "likes");
    let doubled = doubled.by(|liked: &Liked| (liked.article_id, 2));
    let new = d.consign.workers().subscribe(stream("doubled", doubled)).start().await.unwrap();
    catches_up(&d.consign, "doubled").await;
    assert_eq!(d.number("select sum(likes) from doubled").await, 600);
    let refused = d.consign.remove_subscription("likes").await.unwrap_err();
    assert_eq!(refused.code(), "still-running");
    old.shutdown().await.unwrap();
    let rows = "insert into consign_done select s.id, 0, n.value from consign_subscription s,
            json_each('[1,2,3]') n where s.name = 'likes'";
    sqlx::raw_sql(rows).execute(&d.pool).await.unwrap();
    d.consign.remove_subscription("likes").await.unwrap();
    let gone = d.consign.remove_subscription("likes").await.unwrap_err();
    assert_eq!(gone.code(), "no-such-subscription");
    assert_eq!(d.number("select count(*) from consign_cursor").await, 8, "the new one's");
    assert_eq!(d.number("select count(*) from consign_done").await, 0);
    like(&d, 0..10).await;
    catches_up(&d.consign, "doubled").await;
    assert_eq!(d.number("select sum(likes) from doubled").await, 620);
    new.shutdown().await.unwrap();
    d.consign.remove_subscription("doubled").await.unwrap();
    let running = start(&d.consign).await;
    let id = "select id from consign_subscription where name = 'likes'";
    assert!(d.number(id).await > 2, "a number is not given again");
    running.shutdown().await.unwrap();
}

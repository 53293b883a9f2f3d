//! What a worker that died had in hand may have killed it.

use crate::database::{Database, PARTITION, Worker, failed, failed_for_an_hour, offsets};
use consign_core::{Fate, Ledger, Offset, QueueLedger, Settle};

const SUSPECTS: &str = "select log_offset from consign_retry where suspect order by log_offset";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_worker_had_in_hand_is_suspect_though_nobody_saw_it_die() {
    let database = Database::new().await;
    database.publish(&[Some("a"), Some("b"), Some("c"), Some("a")]).await;
    let worker = Worker::start(&database).await;
    let aside = vec![(Offset(0), failed(2)), (Offset(1), failed_for_an_hour())];
    worker.settle(Settle { aside, ..worker.part(0, 2) }).await;
    drop(worker);
    let next = Worker::take_over(&database).await;
    assert_eq!(next.suspects_below().await, Some(4));
    let rows = "select log_offset || ' ' || suspect from consign_retry order by log_offset";
    assert_eq!(database.rows(rows).await, ["0 1", "1 0"], "only what was due was in hand");
    let unfinished = next.ledger.unfinished(next.of, &[PARTITION]).await.unwrap();
    assert_eq!(unfinished[0].last_suspect, Some(Offset(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn suspects_are_remembered_until_the_cursor_has_passed_them_whoever_owns_them() {
    let database = Database::new().await;
    database.publish(&[None; 3]).await;
    let worker = Worker::start(&database).await;
    worker.settle(worker.part(0, 1)).await;
    drop(worker);
    let next = Worker::take_over(&database).await;
    database.publish(&[None]).await;
    assert_eq!(next.suspects_below().await, Some(3), "nobody had in hand what came later");
    next.settle(next.part(1, 2)).await;
    next.release().await;
    let last = Worker::start(&database).await;
    assert_eq!(last.suspects_below().await, Some(3));
    last.settle(last.part(2, 3)).await;
    assert_eq!(last.suspects_below().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_backlog_only_so_much_is_suspect_as_a_worker_has_in_hand() {
    let database = Database::new().await;
    for _ in 0..15 {
        database.publish(&[None; 10]).await;
    }
    let worker = Worker::start(&database).await;
    worker.settle(Settle { marks: offsets(&[1, 2]), ..worker.part(0, 0) }).await;
    drop(worker);
    let next = Worker::take_over(&database).await;
    assert_eq!(next.suspects_below().await, Some(102), "two of them are finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_suspect_in_its_key_is_one_too() {
    let database = Database::new().await;
    database.publish(&[Some("a"); 3]).await;
    let worker = Worker::start(&database).await;
    let behind = [1, 2].map(|offset| (Offset(offset), Fate::Parked));
    let aside = [(Offset(0), failed(2))].into_iter().chain(behind).collect();
    worker.settle(Settle { aside, ..worker.part(0, 3) }).await;
    drop(worker);
    Worker::take_over(&database).await;
    let rows = sqlx::query_scalar::<_, i64>(SUSPECTS).fetch_all(&database.pool).await.unwrap();
    assert_eq!(rows, [0, 1, 2], "all of them were in one transaction");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_or_hands_over_leaves_no_suspects() {
    let database = Database::new().await;
    database.publish(&[None; 3]).await;
    let worker = Worker::start(&database).await;
    worker.release().await;
    let other = Worker::take_over(&database).await;
    assert_eq!(other.suspects_below().await, None);
    other.ledger.leave().await.unwrap();
    let last = Worker::take_over(&database).await;
    assert_eq!(last.suspects_below().await, None);
}

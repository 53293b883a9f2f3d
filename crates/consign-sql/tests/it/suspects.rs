//! What a worker that died had in hand may have killed it, where others went on.

use crate::database::{Database, PARTITION, Worker, failed, failed_for_an_hour};
use consign_core::{Ledger, NewSubscription, Offset, QueueLedger, Settle, SubscriptionName};
use consign_sql::SqlLedger;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_worker_had_in_hand_is_suspect_where_another_went_on() {
    let database = Database::new().await;
    database.publish(&[Some("a"), Some("b"), Some("c")]).await;
    let mut other = Worker::join(&database).await;
    let worker = Worker::start(&database).await;
    let aside = vec![(Offset(0), failed(2)), (Offset(1), failed_for_an_hour())];
    worker.settle(Settle { aside, ..worker.part(0, 2) }).await;
    drop(worker);
    other.ledger.members(other.of).await.unwrap();
    other.take().await;
    assert!(other.is_suspect().await);
    let rows = "select log_offset || ' ' || suspect from consign_retry order by log_offset";
    assert_eq!(database.rows(rows).await, ["0 1", "1 0"], "only what was due was in hand");
    other.settle(other.part(2, 3)).await;
    assert!(!other.is_suspect().await, "its first settlement has looked after them");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_or_hands_over_leaves_no_suspects() {
    let database = Database::new().await;
    let mut other = Worker::join(&database).await;
    let worker = Worker::start(&database).await;
    worker.release().await;
    other.take().await;
    assert!(!other.is_suspect().await);
    other.release().await;
    let worker = Worker::start(&database).await;
    worker.ledger.leave().await.unwrap();
    other.take().await;
    assert!(!other.is_suspect().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_went_on_over_the_death_nothing_is_suspect() {
    let database = Database::new().await;
    let worker = Worker::start(&database).await;
    let mut later = Worker::join(&database).await;
    drop(worker);
    later.ledger.members(later.of).await.unwrap();
    later.take().await;
    assert!(!later.is_suspect().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_of_processes_that_ends_at_once_makes_no_suspects() {
    let database = Database::new().await;
    // Of another subscription, so that nobody has looked after it when the mailer is buried.
    let counter = SqlLedger::new(database.log.clone());
    let name = SubscriptionName::new("counter").unwrap();
    let of =
        counter.subscribe(&NewSubscription { name, ..crate::database::queue() }).await.unwrap();
    counter.join(&[of]).await.unwrap();
    let worker = Worker::start(&database).await;
    drop(counter);
    drop(worker);
    let mut next = Worker::join(&database).await;
    assert_eq!(database.number("select count(*) from consign_worker").await, 3, "leased still");
    next.ledger.members(next.of).await.unwrap();
    next.take().await;
    let unfinished = next.ledger.unfinished(next.of, &[PARTITION]).await.unwrap();
    assert!(!unfinished[0].is_suspect);
}

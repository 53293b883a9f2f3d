//! How a queue stands, as its status says.

use crate::database::{Database, Worker, dead, failed};
use consign_core::{Ledger, Offset, QueueLedger, Settle, Standing, Standstill};
use consign_sql::SubscriptionState;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_says_what_waits_what_is_dead_who_owns_it_and_how_old_the_oldest_is() {
    let database = Database::new().await;
    database.publish(&[Some("a"), None, None, None]).await;
    let worker = Worker::start(&database).await;
    let aside = vec![(Offset(0), failed(2)), (Offset(1), dead("no such address"))];
    worker.settle(Settle { aside, ..worker.part(0, 2) }).await;
    database.run("update consign_log set published_at = published_at - 60000000").await;
    let status = database.log.subscriptions().await.unwrap().remove(0);
    assert_eq!((status.name.as_str(), status.reads.as_str()), ("mailer", "queue"));
    assert_eq!((status.lag, status.waiting, status.dead), (2, 1, 1));
    assert_eq!((status.owners, status.paused), (vec![std::process::id()], None));
    let oldest = status.oldest.unwrap();
    assert!(oldest >= Duration::from_mins(1) && oldest < Duration::from_mins(2), "{oldest:?}");
    worker.settle(worker.part(2, 4)).await;
    database.log.pause("mailer", "the mail server moves").await.unwrap();
    assert!(worker.ledger.members(worker.of).await.unwrap().is_paused);
    worker.ledger.leave().await.unwrap();
    let status = database.log.subscriptions().await.unwrap().remove(0);
    assert_eq!((status.lag, status.oldest, status.owners), (0, None, vec![]));
    assert_eq!(status.paused.as_deref(), Some("the mail server moves"));
    database.log.resume("mailer").await.unwrap();
    assert_eq!(database.log.subscriptions().await.unwrap()[0].paused, None);
    let error = database.log.pause("nobody", "").await.unwrap_err();
    assert_eq!(error.code(), "no-such-subscription");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_own_nothing_stand_by_and_what_they_say_goes_with_them() {
    let database = Database::new().await;
    let mut worker = Worker::join(&database).await;
    let status = || async { database.log.subscriptions().await.unwrap().remove(0) };
    let me = std::process::id();
    let before = status().await;
    assert_eq!(before.state, SubscriptionState::StandingBy, "{before:?}");
    assert_eq!((before.owners, before.standing_by), (vec![], vec![me]));
    worker.take().await;
    assert_eq!(status().await.state, SubscriptionState::Idle);
    let says =
        |what, cause: Option<&str>| vec![Standstill { what, cause: cause.map(ToOwned::to_owned) }];
    let everywhere = says(Standing::All, Some("the mail server is away"));
    worker.ledger.stands_still(worker.of, &everywhere).await.unwrap();
    let there = says(Standing::Partition(crate::database::PARTITION), Some("a newer build"));
    worker.ledger.stands_still(worker.of, &there).await.unwrap();
    let stalled = status().await;
    assert_eq!(stalled.state, SubscriptionState::Stalled);
    assert!(stalled.cause.unwrap().contains("the mail server is away"));
    worker.ledger.stands_still(worker.of, &says(Standing::All, None)).await.unwrap();
    assert!(status().await.cause.unwrap().contains("partition 0 waits for 0 s: a newer build"));
    worker.ledger.leave().await.unwrap();
    assert_eq!(database.number("select count(*) from consign_standstill").await, 0);
    assert!(status().await.cause.unwrap().contains("no worker"));
}

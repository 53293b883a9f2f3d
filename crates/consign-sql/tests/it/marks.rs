//! Done marks above the cursor, under the owner's epoch.

use crate::database::{Database, PARTITION, Worker, offsets};
use consign_core::{Kind, Ledger, NewSubscription, QueueLedger, Reads, Settle, Settled};

const EFFECT: &str = "insert into effects values (0)";

/// What a late owner wrote, had it not to show its epoch.
const NAIVE: &str = "insert into effects values (0);
    insert into consign_done values (1, 0, 0) on conflict do nothing";

#[tokio::test(flavor = "multi_thread")]
async fn the_cursor_passes_what_is_finished_without_a_gap_and_its_marks_go() {
    let database = Database::new().await;
    database.publish(&[None; 6]).await;
    let worker = Worker::start(&database).await;
    let above = Settle { marks: offsets(&[1, 2, 4]), ..worker.part(0, 0) };
    assert_eq!(worker.settle(above).await, Settled::All(vec![]));
    let unfinished = worker.ledger.unfinished(worker.of, &[PARTITION]).await.unwrap();
    assert_eq!(unfinished[0].marks, offsets(&[1, 2, 4]));
    assert_eq!(worker.settle(worker.part(0, 1)).await, Settled::All(vec![]));
    let unfinished = worker.ledger.unfinished(worker.of, &[PARTITION]).await.unwrap();
    assert_eq!(unfinished[0].marks, offsets(&[1, 2, 4]), "at the cursor, and above");
    assert_eq!(worker.settle(worker.part(1, 3)).await, Settled::All(vec![]));
    let unfinished = worker.ledger.unfinished(worker.of, &[PARTITION]).await.unwrap();
    assert_eq!(unfinished[0].marks, offsets(&[4]));
    let counts = "select next_offset * 100 + applied * 10 + marked from consign_cursor";
    assert_eq!(
        database.number(counts).await,
        341,
        "three passed, four applied, one of them marked"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_is_refused_under_an_old_epoch() {
    let database = Database::new().await;
    database.publish(&[None; 3]).await;
    let late = Worker::start(&database).await;
    late.release().await;
    let owner = Worker::start(&database).await;
    let mark = Settle { marks: offsets(&[1]), ..late.part(0, 0) };
    assert_eq!(late.settle_with(mark, Some(EFFECT)).await, Settled::Fenced(vec![PARTITION]));
    assert_eq!(database.number("select count(*) from consign_done").await, 0);
    assert_eq!(database.number("select count(*) from effects").await, 0);
    assert_eq!(owner.settle(owner.part(0, 1)).await, Settled::All(vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_epoch_a_mark_that_was_compacted_lets_an_effect_happen_twice() {
    for (naive, effects) in [(false, 1), (true, 2)] {
        let database = Database::new().await;
        database.publish(&[None]).await;
        let late = Worker::start(&database).await;
        late.release().await;
        let owner = Worker::start(&database).await;
        let settled = owner.settle_with(owner.part(0, 1), Some(EFFECT)).await;
        assert_eq!(settled, Settled::All(vec![]));
        if naive {
            database.run(NAIVE).await;
        } else {
            let settled = late.settle_with(late.part(0, 1), Some(EFFECT)).await;
            assert_eq!(settled, Settled::Fenced(vec![PARTITION]));
        }
        assert_eq!(database.number("select count(*) from effects").await, effects);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_marked_already_is_not_settled_again() {
    let database = Database::new().await;
    database.publish(&[None; 4]).await;
    let worker = Worker::start(&database).await;
    let mark = || Settle { marks: offsets(&[2]), ..worker.part(0, 0) };
    assert_eq!(worker.settle_with(mark(), Some(EFFECT)).await, Settled::All(vec![]));
    let again = worker.settle_with(mark(), Some(EFFECT)).await;
    assert_eq!(again, Settled::Fenced(vec![PARTITION]));
    let behind = Settle { marks: offsets(&[0]), ..worker.part(0, 1) };
    assert_eq!(worker.settle(behind).await, Settled::All(vec![]));
    assert_eq!(worker.settle(worker.part(0, 1)).await, Settled::Fenced(vec![PARTITION]));
    assert_eq!(database.number("select count(*) from effects").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_judged_by_kinds_of_yesterday_is_not_settled() {
    let database = Database::new().await;
    database.publish(&[None; 2]).await;
    let worker = Worker::start(&database).await;
    let kinds = vec![Kind { name: "job", version: 1 }, Kind { name: "chore", version: 1 }];
    let newer = NewSubscription { kinds, ..crate::database::queue() };
    worker.ledger.subscribe(&newer).await.unwrap();
    let skipped = Settle { skipped: vec![("chore".into(), 1)], ..worker.part(0, 1) };
    let named = Settled::Kinds(vec!["chore".to_owned(), "job".to_owned()]);
    assert_eq!(worker.settle(skipped).await, named);
    assert_eq!(database.number("select count(*) from consign_skipped").await, 0);
    assert_eq!(database.number("select next_offset from consign_cursor").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_not_read_as_a_stream() {
    let database = Database::new().await;
    let worker = Worker::start(&database).await;
    let stream = NewSubscription { reads: Reads::Stream, ..crate::database::queue() };
    let error = worker.ledger.subscribe(&stream).await.unwrap_err();
    assert_eq!(error.code(), "other-reads");
    assert!(error.to_string().contains("as a queue, not as a stream"), "{error}");
}

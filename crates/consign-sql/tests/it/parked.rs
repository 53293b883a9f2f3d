//! Messages that failed, and those of their keys that wait behind them.

use crate::database::{
    Database, PARTITION, Worker, dead, failed, failed_for_an_hour, key, now, offsets, retry,
};
use consign_core::{Fate, Offset, QueueLedger, Settle, Settled};
use std::time::Duration;

const A: Option<&str> = Some("a");
const B: Option<&str> = Some("b");

fn unparked(key_of: &'static str) -> Settled {
    Settled::All(vec![(PARTITION, key(key_of))])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_waits_behind_its_failed_message_and_drains_in_order() {
    let database = Database::new().await;
    database.publish(&[A, B, A, A, B]).await;
    let worker = Worker::start(&database).await;
    let aside = vec![(Offset(2), Fate::Parked), (Offset(0), failed(2))];
    let part = Settle { aside, ..worker.part(0, 3) };
    assert_eq!(worker.settle(part).await, Settled::All(vec![]));
    let aside = vec![(Offset(3), Fate::Parked)];
    assert_eq!(worker.settle(Settle { aside, ..worker.part(3, 5) }).await, Settled::All(vec![]));
    assert_eq!(worker.parked().await, [key("a")]);
    assert_eq!(worker.due().await, [[0, 2, 3]]);
    let timeless = "select count(*) from consign_retry where due_at is null";
    assert_eq!(database.number(timeless).await, 2, "only the head has a time");
    let again = vec![(Offset(0), None), (Offset(2), None)];
    let part = Settle { again, ..worker.part(5, 5) };
    assert_eq!(worker.settle(part).await, Settled::All(vec![]));
    assert_eq!(worker.due().await, [[3]]);
    let part = Settle { again: vec![(Offset(3), None)], ..worker.part(5, 5) };
    assert_eq!(worker.settle(part).await, unparked("a"));
    assert_eq!(worker.parked().await, []);
    assert_eq!(database.number("select applied from consign_cursor").await, 5);
    assert_eq!(database.number("select waiting from consign_cursor").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_fails_again_holds_its_key_until_its_time() {
    let database = Database::new().await;
    database.publish(&[A, A]).await;
    let worker = Worker::start(&database).await;
    let aside = vec![(Offset(0), failed(2)), (Offset(1), Fate::Parked)];
    worker.settle(Settle { aside, ..worker.part(0, 2) }).await;
    let again = vec![(Offset(0), Some(failed_for_an_hour())), (Offset(1), Some(Fate::Parked))];
    let settled = worker.settle(Settle { again, ..worker.part(2, 2) }).await;
    assert_eq!(settled, Settled::All(vec![]));
    let due = worker.ledger.due(worker.of, &[PARTITION], 10).await.unwrap();
    assert!(due.chains.is_empty(), "{due:?}");
    let wait = due.next.unwrap().duration_since(now()).unwrap();
    assert!(wait > Duration::from_mins(59), "{wait:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_on_when_its_head_dies_or_is_discarded() {
    let database = Database::new().await;
    database.publish(&[A, A, A]).await;
    let worker = Worker::start(&database).await;
    let behind = |offset| (Offset(offset), Fate::Parked);
    let aside = vec![(Offset(0), failed(2)), behind(1), behind(2)];
    worker.settle(Settle { aside, ..worker.part(0, 3) }).await;
    let again = vec![(Offset(0), Some(dead("no such address")))];
    worker.settle(Settle { again, ..worker.part(3, 3) }).await;
    assert_eq!(worker.due().await, [[1, 2]]);
    let again = vec![(Offset(1), Some(Fate::Discarded("obsolete".to_owned())))];
    worker.settle(Settle { again, ..worker.part(3, 3) }).await;
    assert_eq!(worker.due().await, [[2]]);
    let again = vec![(Offset(2), None)];
    assert_eq!(worker.settle(Settle { again, ..worker.part(3, 3) }).await, unparked("a"));
    let counts =
        "select applied * 1000 + dead * 100 + discarded * 10 + waiting from consign_cursor";
    assert_eq!(database.number(counts).await, 1110);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_key_has_just_gone_on_waits_for_nothing() {
    let database = Database::new().await;
    database.publish(&[A, A, A]).await;
    let worker = Worker::start(&database).await;
    let aside = vec![(Offset(2), Fate::Parked), (Offset(1), Fate::Parked)];
    worker.settle(Settle { aside, ..worker.part(0, 3) }).await;
    assert_eq!(worker.due().await, [[1, 2]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_no_more_is_not_settled_again() {
    let database = Database::new().await;
    database.publish(&[A, None]).await;
    let worker = Worker::start(&database).await;
    let aside = vec![(Offset(0), failed(2)), (Offset(1), retry(2, now(), true))];
    worker.settle(Settle { aside, ..worker.part(0, 2) }).await;
    assert_eq!(worker.parked().await, [key("a")], "what has no key parks none");
    let refused = Settled::Fenced(vec![PARTITION]);
    let again = || vec![(Offset(0), None)];
    let effect = Some("insert into effects values (0)");
    let settled = worker.settle_with(Settle { again: again(), ..worker.part(2, 2) }, effect).await;
    assert_eq!(settled, unparked("a"));
    let settled = worker.settle_with(Settle { again: again(), ..worker.part(2, 2) }, effect).await;
    assert_eq!(settled, refused);
    for fate in [failed(3), Fate::Discarded(String::new()), dead("no")] {
        let again = vec![(Offset(0), Some(fate))];
        assert_eq!(worker.settle(Settle { again, ..worker.part(2, 2) }).await, refused);
    }
    let aside = vec![(Offset(1), failed(2))];
    assert_eq!(worker.settle(Settle { aside, ..worker.part(2, 2) }).await, refused);
    assert_eq!(database.number("select count(*) from effects").await, 1);
    assert_eq!(database.number("select waiting from consign_cursor").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_are_due_first_and_what_is_left_says_when() {
    let database = Database::new().await;
    database.publish(&[None; 5]).await;
    let worker = Worker::start(&database).await;
    let ago = |seconds| retry(2, now() - Duration::from_secs(seconds), false);
    let aside = vec![
        (Offset(0), ago(10)),
        (Offset(1), ago(30)),
        (Offset(2), ago(20)),
        (Offset(3), failed_for_an_hour()),
    ];
    worker.settle(Settle { aside, marks: offsets(&[]), ..worker.part(0, 5) }).await;
    assert_eq!(worker.due().await, [[1], [2], [0]]);
    let some = worker.ledger.due(worker.of, &[PARTITION], 2).await.unwrap();
    let got = some.chains.iter().map(|chain| chain[0].offset.0).collect::<Vec<_>>();
    assert_eq!(got, [1, 2]);
    assert!(some.next.unwrap() <= now(), "the third is due");
    let first = &some.chains[0][0];
    assert_eq!((first.attempt, first.is_suspect), (2, false));
    assert_eq!((&*first.envelope.kind, &first.envelope.payload[..]), ("job", &b"1"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_comes_alone() {
    let database = Database::new().await;
    database.publish(&[A, A]).await;
    let worker = Worker::start(&database).await;
    let fate = |attempt| Fate::Retry {
        attempt,
        due: now(),
        error: "its process died".to_owned(),
        parks: true,
        is_suspect: true,
    };
    let aside = vec![(Offset(0), fate(1)), (Offset(1), Fate::Parked)];
    worker.settle(Settle { aside, ..worker.part(0, 2) }).await;
    assert_eq!(worker.due().await, [[0]]);
    let again = vec![(Offset(0), Some(fate(2)))];
    worker.settle(Settle { again, ..worker.part(2, 2) }).await;
    let due = worker.ledger.due(worker.of, &[PARTITION], 10).await.unwrap();
    assert_eq!((due.chains[0][0].attempt, due.chains[0][0].is_suspect), (2, true));
    let again = vec![(Offset(0), None)];
    worker.settle(Settle { again, ..worker.part(2, 2) }).await;
    let due = worker.ledger.due(worker.of, &[PARTITION], 10).await.unwrap();
    assert_eq!((due.chains[0][0].offset, due.chains[0][0].is_suspect), (Offset(1), false));
}

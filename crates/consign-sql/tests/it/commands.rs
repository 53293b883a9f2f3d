//! What is asked for from outside, and done by the owner of the partition.

use crate::database::{Database, PARTITION, Worker, dead, failed, failed_for_an_hour, key};
use consign_core::{Fate, MessageId, Offset, Settle};
use consign_sql::{DeadLetters, Request, RequestStatus, Selection};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};
use uuid::Uuid;

const A: Option<&str> = Some("a");

/// A queue, whose messages 0, 1, … are dead.
async fn with_letters(count: u64) -> (Database, Worker) {
    let database = Database::new().await;
    let keys = (0..count).map(|_| A).collect::<Vec<_>>();
    database.publish(&keys).await;
    let worker = Worker::start(&database).await;
    let error = |offset| if offset % 2 == 0 { "no such address 17" } else { "refused" };
    let aside = (0..count).map(|offset| (Offset(offset), dead(error(offset)))).collect();
    worker.settle(Settle { aside, ..worker.part(0, count) }).await;
    (database, worker)
}

async fn status(database: &Database, request: Request) -> (u64, bool) {
    let RequestStatus { touched, is_done } = database.log.request(request).await.unwrap();
    (touched, is_done)
}

async fn message(database: &Database, offset: i64) -> MessageId {
    let select = "select id from consign_log where (position & 0xfffffffffff) = ?1";
    let id = sqlx::query_scalar::<_, Vec<u8>>(select).bind(offset).fetch_one(&database.pool).await;
    MessageId(Uuid::from_slice(&id.unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_redriven_once_and_a_second_time_finds_nothing() {
    let (database, worker) = with_letters(1).await;
    let one = Selection::one(message(&database, 0).await);
    let first = database.log.redrive("mailer", &one, None).await.unwrap();
    let second = database.log.redrive("mailer", &one, None).await.unwrap();
    assert_eq!(status(&database, first).await, (0, false), "nobody has done it yet");
    assert_eq!(worker.execute().await, [PARTITION]);
    assert_eq!(status(&database, first).await, (1, true));
    assert_eq!(status(&database, second).await, (0, true));
    assert_eq!(worker.due().await, [[0]]);
    assert_eq!(database.number("select attempt from consign_retry").await, 1);
    let again = vec![(Offset(0), None)];
    worker.settle(Settle { again, ..worker.part(1, 1) }).await;
    let error = database.log.redrive("mailer", &one, None).await.unwrap_err();
    assert_eq!(error.code(), "no-such-message");
    assert!(worker.execute().await.is_empty());
    assert_eq!(database.number("select dead + waiting from consign_cursor").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_owner_executes_nothing() {
    let (database, late) = with_letters(1).await;
    late.release().await;
    let owner = Worker::start(&database).await;
    database.log.redrive("mailer", &Selection::default(), None).await.unwrap();
    assert!(late.execute().await.is_empty());
    assert_eq!(database.number("select count(*) from consign_dead_letter").await, 1);
    assert_eq!(owner.execute().await, [PARTITION]);
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_failed_alike_are_redriven_in_the_order_of_the_log() {
    let (database, worker) = with_letters(6).await;
    let alike = Selection { fingerprint: Some("no such address #".into()), ..Selection::default() };
    let request = database.log.redrive("mailer", &alike, None).await.unwrap();
    worker.execute().await;
    assert_eq!(status(&database, request).await, (3, true));
    assert_eq!(worker.due().await, [[0, 2, 4]]);
    assert_eq!(worker.parked().await, [key("a")]);
    let nobody = Selection { kind: Some("chore".into()), ..Selection::default() };
    let request = database.log.redrive("mailer", &nobody, None).await.unwrap();
    worker.execute().await;
    assert_eq!(status(&database, request).await, (0, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_redriven_comes_before_the_later_ones_of_its_key_that_wait() {
    let (database, worker) = with_letters(1).await;
    database.publish(&[A, A]).await;
    let aside = vec![(Offset(1), failed(2)), (Offset(2), Fate::Parked)];
    worker.settle(Settle { aside, ..worker.part(1, 3) }).await;
    assert_eq!(worker.due().await, [[1, 2]]);
    database.log.redrive("mailer", &Selection::default(), None).await.unwrap();
    worker.execute().await;
    assert_eq!(worker.due().await, [[0, 1, 2]], "one chain, although two have a time");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_letters_are_redriven_piece_by_piece() {
    let (database, worker) = with_letters(450).await;
    let request = database.log.redrive("mailer", &Selection::default(), None).await.unwrap();
    let mut touched = vec![];
    for _ in 0..4 {
        worker.execute().await;
        touched.push(status(&database, request).await);
    }
    assert_eq!(touched, [(200, false), (400, false), (450, true), (450, true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_redriven_no_faster_than_was_asked() {
    let (database, worker) = with_letters(200).await;
    let rate = NonZeroU32::new(100);
    let started = Instant::now();
    let request = database.log.redrive("mailer", &Selection::default(), rate).await.unwrap();
    loop {
        worker.execute().await;
        let (touched, _) = status(&database, request).await;
        let most = started.elapsed().as_millis() / 10 + 1;
        assert!(u128::from(touched) <= most, "{touched} of at most {most}");
        if touched > 50 {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "it does not go on");
    }
    assert!(started.elapsed() >= Duration::from_millis(500), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dies_after_the_request_is_not_redriven_by_it() {
    let (database, worker) = with_letters(300).await;
    database.publish(&[A]).await;
    let request = database.log.redrive("mailer", &Selection::default(), None).await.unwrap();
    worker.execute().await;
    let again = vec![(Offset(0), Some(dead("again")))];
    let aside = vec![(Offset(300), dead("refused"))];
    worker.settle(Settle { again, aside, ..worker.part(300, 301) }).await;
    while !status(&database, request).await.1 {
        worker.execute().await;
    }
    assert_eq!(status(&database, request).await, (300, true));
    assert_eq!(database.number("select count(*) from consign_dead_letter").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_waits_for_can_be_discarded_edited_or_tried_at_once() {
    let database = Database::new().await;
    database.publish(&[A, A]).await;
    let worker = Worker::start(&database).await;
    let aside = vec![(Offset(0), failed_for_an_hour()), (Offset(1), Fate::Parked)];
    worker.settle(Settle { aside, ..worker.part(0, 2) }).await;
    let head = message(&database, 0).await;
    let behind = database.log.parked_keys("mailer", 10).await.unwrap();
    assert_eq!((&behind[0].key, behind[0].behind), (&key("a"), Some(head)));
    assert!(worker.due().await.is_empty());
    database.log.edit("mailer", head, "17".into()).await.unwrap();
    database.log.retry_now("mailer", &Selection::one(head)).await.unwrap();
    worker.execute().await;
    assert_eq!(worker.due().await, [[0, 1]]);
    assert_eq!(database.rows("select cast(payload as text) from consign_retry").await, ["17", "1"]);
    let request = database.log.discard("mailer", &Selection::one(head)).await.unwrap();
    worker.execute().await;
    assert_eq!(status(&database, request).await, (1, true));
    assert_eq!(worker.due().await, [[1]]);
    let last = message(&database, 1).await;
    database.log.discard("mailer", &Selection::one(last)).await.unwrap();
    worker.execute().await;
    assert!(worker.parked().await.is_empty(), "nothing of it is left");
    let counts = "select waiting * 10 + discarded from consign_cursor";
    assert_eq!(database.number(counts).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_paused_waits_until_it_is_resumed() {
    let database = Database::new().await;
    database.publish(&[A, A]).await;
    let worker = Worker::start(&database).await;
    worker.settle(Settle { aside: vec![(Offset(0), failed(2))], ..worker.part(0, 1) }).await;
    database.log.pause_key("mailer", &key("a")).await.unwrap();
    assert_eq!(worker.execute().await, [PARTITION]);
    assert!(worker.due().await.is_empty());
    assert!(database.log.parked_keys("mailer", 10).await.unwrap()[0].is_paused);
    worker.settle(Settle { again: vec![(Offset(0), None)], ..worker.part(1, 1) }).await;
    assert_eq!(worker.parked().await, [key("a")], "it is held back, though nothing waits");
    let aside = vec![(Offset(1), Fate::Parked)];
    worker.settle(Settle { aside, ..worker.part(1, 2) }).await;
    assert!(worker.due().await.is_empty());
    database.log.resume_key("mailer", &key("a")).await.unwrap();
    assert_eq!(worker.execute().await, [PARTITION]);
    assert_eq!(worker.due().await, [[1]]);
    worker.settle(Settle { again: vec![(Offset(1), None)], ..worker.part(2, 2) }).await;
    assert!(worker.parked().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_can_be_edited_and_discarded() {
    let (database, worker) = with_letters(2).await;
    let id = message(&database, 1).await;
    database.log.edit("mailer", id, "{}".into()).await.unwrap();
    worker.execute().await;
    let page = database.log.dead_letters(&DeadLetters::default(), 10).await.unwrap();
    let (letter, envelope) = database.log.dead_letter(page[0].id).await.unwrap().unwrap();
    assert_eq!((letter.message, &envelope.payload[..]), (id, &b"{}"[..]));
    database.log.discard("mailer", &Selection::default()).await.unwrap();
    worker.execute().await;
    let counts = "select dead * 10 + discarded from consign_cursor";
    assert_eq!(database.number(counts).await, 2);
    let error = database.log.discard("nobody", &Selection::default()).await.unwrap_err();
    assert_eq!(error.code(), "no-such-subscription");
    let large = vec![0; consign_core::PAYLOAD_BYTES_MAX + 1].into();
    let error = database.log.edit("mailer", id, large).await.unwrap_err();
    assert_eq!(error.code(), "payload-too-large");
}

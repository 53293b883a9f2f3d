//! Messages that are unique by a name: a repeat publishes nothing.

use crate::database::{Database, Liked};
use consign::{HandlerResult, Message, Retry, State, queue};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const LOG: &str = "select count(*) from consign_log";
const NAMES: &str = "select count(*) from consign_unique";
const HOUR: Duration = Duration::from_hours(1);
const LIKED: Liked = Liked { article_id: 1 };

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(kind = "disliked", topic = "likes")]
struct Disliked {}

#[tokio::test]
async fn a_repeat_answers_the_first_ones_id_and_publishes_nothing() {
    let d = Database::new().await;
    let mut tx = d.consign.begin().await.unwrap();
    let first = tx.publish(&LIKED).unique_for("a", HOUR).await.unwrap();
    assert_eq!(tx.publish(&LIKED).unique_for("a", HOUR).await.unwrap(), first);
    assert_ne!(tx.publish(&LIKED).unique_for("b", HOUR).await.unwrap(), first);
    assert_ne!(tx.publish(&Disliked {}).unique_for("a", HOUR).await.unwrap(), first);
    assert_eq!(tx.commit().await.unwrap().messages().len(), 3);
    let mut foreign = d.pool.begin().await.unwrap();
    let again = d.consign.publish_in(&mut foreign, &LIKED).unique_for("a", HOUR).await.unwrap();
    foreign.commit().await.unwrap();
    assert_eq!(again, first);
    let receipt = d.consign.publish(&LIKED).unique_for("a", HOUR).await.unwrap();
    assert_eq!(receipt.messages(), [], "nothing was published");
    let both = [LIKED, LIKED];
    let receipt = d.consign.publish_all(&both).unique_for("c", HOUR).await.unwrap();
    assert_eq!(receipt.messages().len(), 1, "they have the one name");
    assert_eq!(d.number(LOG).await, 4);
}

#[tokio::test]
async fn a_transaction_that_rolls_back_leaves_the_name_free() {
    let d = Database::new().await;
    let mut tx = d.consign.begin().await.unwrap();
    let first = tx.publish(&LIKED).unique_for("a", HOUR).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = d.consign.begin().await.unwrap();
    sqlx::query("savepoint s").execute(&mut *tx).await.unwrap();
    let second = tx.publish(&LIKED).unique_for("a", HOUR).await.unwrap();
    sqlx::query("rollback to s").execute(&mut *tx).await.unwrap();
    let third = tx.publish(&LIKED).unique_for("a", HOUR).await.unwrap();
    tx.commit().await.unwrap();
    assert!(first != second && second != third);
    assert_eq!(d.number(LOG).await, 1);
}

#[tokio::test]
async fn a_name_is_free_when_its_window_has_passed() {
    let d = Database::new().await;
    let window = Duration::from_millis(150);
    d.consign.publish(&LIKED).unique_for("a", window).await.unwrap();
    let (since, mut repeats) = (Instant::now(), 0);
    while d.consign.publish(&LIKED).unique_for("a", HOUR).await.unwrap().messages().is_empty() {
        repeats += 1;
        assert!(since.elapsed() < Duration::from_secs(30));
    }
    assert!(since.elapsed() + Duration::from_millis(50) >= window, "{:?}", since.elapsed());
    println!("{repeats} repeats");
    assert_eq!(d.number(LOG).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_is_published() {
    let d = Database::new().await;
    let other = d.again().await;
    let publish = |n: usize| {
        let consign = if n.is_multiple_of(2) { d.consign.clone() } else { other.clone() };
        tokio::spawn(async move {
            consign.publish(&LIKED).unique_for("a", HOUR).await.unwrap().messages().len()
        })
    };
    let mut published = 0;
    for publish in (0..40).map(publish).collect::<Vec<_>>() {
        published += publish.await.unwrap();
    }
    assert_eq!((published, d.number(LOG).await), (1, 1));
}

#[tokio::test]
async fn names_that_are_free_are_forgotten() {
    let d = Database::new().await;
    for n in 0..200 {
        d.consign.publish(&LIKED).unique_for(n, Duration::ZERO).await.unwrap();
    }
    let left = d.number(NAMES).await;
    assert!(left < 10, "{left} names are left");
    for n in 0..50 {
        d.consign.publish(&LIKED).unique_for(n, HOUR).await.unwrap();
    }
    assert_eq!(d.number(NAMES).await, 50, "those that are held stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_held_until_the_message_is_handled_however_long_it_waits() {
    #[derive(Clone, Default)]
    struct Open(Arc<AtomicBool>);
    async fn pass(_: Liked, State(open): State<Open>) -> HandlerResult {
        if open.0.load(Ordering::Relaxed) { Ok(()) } else { Err("not yet")? }
    }
    let (d, open) = (Database::new().await, Open::default());
    let repeat = || d.consign.publish(&LIKED).unique_until_handled("a", "pass");
    let is_held = async || repeat().await.unwrap().messages().is_empty();
    let until = Duration::from_millis(200);
    d.consign.publish(&LIKED).after(until).unique_until_handled("a", "pass").await.unwrap();
    assert!(is_held().await, "it is not due");
    let retry = Retry::exponential(Duration::from_millis(10), Duration::from_millis(20));
    let queue = queue("pass", pass).from_start().retry(retry.max_attempts(100_000));
    let workers = d.consign.workers().with_state(open.clone());
    let running = workers.subscribe(queue).start().await.unwrap();
    d.becomes("select count(*) from consign_retry where attempt > 2", 1).await;
    assert!(is_held().await, "it waits for a retry");
    assert_eq!(d.number(LOG).await, 1);
    open.0.store(true, Ordering::Relaxed);
    d.becomes("select count(*) from consign_retry", 0).await;
    assert!(!is_held().await, "it was handled");
    assert_eq!(d.number(LOG).await, 2);
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_holds_its_name_no_longer() {
    async fn refuse(_: Liked) -> HandlerResult {
        Err(consign::Verdict::reject("never"))
    }
    let d = Database::new().await;
    let publish = || d.consign.publish(&LIKED).unique_until_handled("a", "refuse");
    publish().await.unwrap();
    assert_eq!(publish().await.unwrap().messages(), []);
    let queue = queue("refuse", refuse).from_start();
    let running = d.consign.workers().subscribe(queue).start().await.unwrap();
    d.becomes("select count(*) from consign_dead_letter", 1).await;
    assert_eq!(publish().await.unwrap().messages().len(), 1);
    d.becomes("select count(*) from consign_dead_letter", 2).await;
    running.shutdown().await.unwrap();
}

#[tokio::test]
async fn names_and_subscriptions_have_bounds() {
    let d = Database::new().await;
    let long = "n".repeat(256);
    let code = async |publish: consign::Publish<'_, _>| publish.await.unwrap_err().code();
    assert_eq!(code(d.consign.publish(&LIKED).unique_for(long, HOUR)).await, "key-too-long");
    let bad = d.consign.publish(&LIKED).unique_until_handled("a", "No Name");
    assert_eq!(code(bad).await, "bad-name");
    d.consign.publish(&LIKED).unique_for("a", Duration::MAX).await.unwrap();
    assert_eq!(d.number(LOG).await, 1);
}

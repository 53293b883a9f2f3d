//! Layers of tower around a queue's handler.

use crate::database::{Database, Liked};
use consign::sqlite::Tx;
use consign::{Call, Calls, Delivery, HandlerResult, Retry, State, Verdict, queue};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::limit::ConcurrencyLimitLayer;
use tower::timeout::TimeoutLayer;
use tower::{BoxError, Layer, Service};

const MESSAGES: i64 = 40;

/// A layer that counts calls, and refuses every attempt of a message but its second.
#[derive(Clone, Default)]
struct Turnstile {
    seen: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Guarded {
    turnstile: Turnstile,
    inner: Calls,
}

impl Layer<Calls> for Turnstile {
    type Service = Guarded;

    fn layer(&self, inner: Calls) -> Guarded {
        Guarded { turnstile: self.clone(), inner }
    }
}

impl Service<Call> for Guarded {
    type Response = ();
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        assert_eq!(call.subscription(), "guarded");
        self.turnstile.seen.fetch_add(1, Ordering::SeqCst);
        if call.deliveries()[0].attempt == 1 {
            self.turnstile.refused.fetch_add(1, Ordering::SeqCst);
            return Box::pin(async { Err("the turnstile is shut".into()) });
        }
        Box::pin(self.inner.call(call))
    }
}

/// Each message has a key of its own, and fails in its own way: no outage.
async fn publish(d: &Database) {
    let all = (0..MESSAGES).map(|article_id| Liked { article_id }).collect::<Vec<_>>();
    d.consign.publish_all(&all).await.unwrap();
}

fn quickly() -> Retry {
    Retry::exponential(Duration::from_millis(1), Duration::from_millis(2)).max_attempts(3)
}

async fn drained(d: &Database) {
    let left =
        "select (select coalesce(sum(p.next_offset - c.next_offset), 1) from consign_cursor c
        join consign_partition p on p.number = c.partition) + (select count(*) from consign_retry)";
    d.becomes(left, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_sees_each_call_and_its_error_is_tried_again() {
    async fn keep(liked: Liked, delivery: Delivery, mut tx: Tx) -> HandlerResult {
        let insert = sqlx::query("insert into kept values (?1, ?2)").bind(liked.article_id);
        insert.bind(delivery.attempt).execute(&mut *tx).await?;
        Ok(())
    }
    let (d, turnstile) = (Database::new().await, Turnstile::default());
    let tables = "create table kept (article_id integer primary key, attempt integer) strict";
    sqlx::raw_sql(tables).execute(&d.pool).await.unwrap();
    // One after the other, so that no five keys in a row fail alike: that were an outage.
    let guarded = queue("guarded", keep).from_start().retry(quickly()).layer(turnstile.clone());
    let running = d.consign.workers().subscribe(guarded).start().await.unwrap();
    for article_id in 0..MESSAGES {
        d.consign.publish(&Liked { article_id }).await.unwrap();
        d.becomes("select count(*) from kept", article_id + 1).await;
    }
    drained(&d).await;
    running.shutdown().await.unwrap();
    let all = usize::try_from(MESSAGES).unwrap();
    assert_eq!(turnstile.refused.load(Ordering::SeqCst), all, "each was tried once in vain");
    assert!(turnstile.seen.load(Ordering::SeqCst) >= 2 * all);
    assert_eq!(d.number("select count(*) from kept where attempt <> 2").await, 0);
    assert_eq!(d.number("select count(*) from consign_dead_letter").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_longer_than_its_layer_allows_is_tried_again() {
    async fn hang_at_first(liked: Liked, delivery: Delivery) -> HandlerResult {
        if liked.article_id == 7 && delivery.attempt == 1 {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
    let d = Database::new().await;
    publish(&d).await;
    let noted = "create table noted (error text);
        create trigger note after insert on consign_retry when new.last_error is not null begin
            insert into noted values (new.last_error); end";
    sqlx::raw_sql(noted).execute(&d.pool).await.unwrap();
    let limit = TimeoutLayer::new(Duration::from_secs(1));
    let hangs = queue("hangs", hang_at_first).from_start().retry(quickly()).layer(limit);
    let running = d.consign.workers().subscribe(hangs).start().await.unwrap();
    drained(&d).await;
    running.shutdown().await.unwrap();
    let said = "select count(*) from noted where error like '%timed out%'";
    assert!(d.number(said).await >= 1);
    assert_eq!(d.number("select count(*) from consign_dead_letter").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_bounds_the_calls_of_all_messages() {
    async fn count(_: Liked, State(calls): State<Arc<[AtomicUsize; 2]>>) -> HandlerResult {
        let now = calls[0].fetch_add(1, Ordering::SeqCst) + 1;
        calls[1].fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(2)).await;
        calls[0].fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
    let (d, calls) = (Database::new().await, Arc::<[AtomicUsize; 2]>::default());
    publish(&d).await;
    let counts = queue("counts", count).from_start().layer(ConcurrencyLimitLayer::new(2));
    let workers = d.consign.workers().with_state(Arc::clone(&calls));
    let running = workers.subscribe(counts).start().await.unwrap();
    drained(&d).await;
    running.shutdown().await.unwrap();
    assert_eq!(calls[1].load(Ordering::SeqCst), 2, "of 16 that the queue allows");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_answers_is_what_it_was_behind_a_layer() {
    async fn judge(liked: Liked) -> HandlerResult {
        match liked.article_id {
            1 => Err(Verdict::reject("it is spam")),
            2 => Err(Verdict::discard("it is obsolete")),
            _ => Ok(()),
        }
    }
    let d = Database::new().await;
    publish(&d).await;
    let limit = TimeoutLayer::new(Duration::from_secs(20));
    let layers = queue("judge", judge).from_start().layer(limit).layer(Layered);
    let running = d.consign.workers().subscribe(layers).start().await.unwrap();
    drained(&d).await;
    running.shutdown().await.unwrap();
    let dead = "select count(*) from consign_dead_letter where reason = 'rejected'
        and last_error = 'it is spam'";
    assert_eq!(d.number(dead).await, 1);
    assert_eq!(d.number("select sum(discarded) from consign_cursor").await, 1);
    assert_eq!(d.number("select count(*) from consign_dead_letter").await, 1);
}

/// A layer that does nothing.
struct Layered;

impl Layer<Calls> for Layered {
    type Service = Calls;

    fn layer(&self, inner: Calls) -> Calls {
        inner
    }
}

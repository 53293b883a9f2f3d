//! Read your writes: who has published waits until what came of it is there.

use crate::database::{Database, Liked, likes};
use consign::sqlite::{Consign, Tx};
use consign::{Freshness, HandlerResult, Receipt, Retry, State, queue, stream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(100);

async fn like(consign: &Consign, article_id: i64) -> Receipt {
    consign.publish(&Liked { article_id }).await.unwrap()
}

async fn likes_of(d: &Database, article_id: i64) -> i64 {
    let select = "select coalesce(sum(likes), 0) from like_counts where article_id = ?1";
    sqlx::query_scalar(select).bind(article_id).fetch_one(&d.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_read_by_another_process_once_it_has_caught_up() {
    let d = Database::new().await;
    let running = d.consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    let other = d.again().await;
    for article_id in 0..50 {
        let header = like(&d.consign, article_id).await.encode();
        let receipt = Receipt::decode(&header).unwrap();
        let fresh = other.caught_up("likes", &receipt).timeout(LONG).await.unwrap();
        assert_eq!(fresh, Freshness::CaughtUp);
        assert_eq!(likes_of(&d, article_id).await, 1);
    }
    let all = (0..1_000).map(|n| Liked { article_id: 100 + n % 20 }).collect::<Vec<_>>();
    let receipt = d.consign.publish_all(&all).await.unwrap();
    assert!(other.caught_up("likes", &receipt).timeout(LONG).await.unwrap().is_caught_up());
    assert_eq!(d.number("select sum(likes) from like_counts").await, 1_050);
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lateness_is_an_answer_that_says_how_much_is_left() {
    let d = Database::new().await;
    let receipt = like(&d.consign, 1).await;
    let behind = |behind| Freshness::TimedOut { behind };
    let asked = d.consign.caught_up("likes", &receipt).timeout(Duration::ZERO);
    assert_eq!(asked.await.unwrap(), behind(1), "no process has ever started it");
    let running = d.consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    assert!(d.consign.caught_up("likes", &receipt).timeout(LONG).await.unwrap().is_caught_up());
    running.shutdown().await.unwrap();
    for _ in 0..5 {
        like(&d.consign, 1).await;
    }
    let receipt = like(&d.consign, 1).await;
    like(&d.consign, 1).await;
    let asked = d.consign.caught_up("likes", &receipt).timeout(SHORT);
    assert_eq!(asked.await.unwrap(), behind(6), "up to its message");
    assert_eq!(d.consign.caught_up("likes", None).timeout(SHORT).await.unwrap(), behind(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_is_ready_when_it_has_read_what_was_there_when_it_was_asked() {
    let d = Database::new().await;
    let all = (0..5_000).map(|n| Liked { article_id: n % 50 }).collect::<Vec<_>>();
    d.consign.publish_all(&all).await.unwrap();
    let asked = d.consign.clone();
    let asked =
        tokio::spawn(async move { asked.caught_up("likes", None).timeout(LONG).await.unwrap() });
    let running = d.consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    assert_eq!(asked.await.unwrap(), Freshness::CaughtUp);
    assert_eq!(d.number("select sum(likes) from like_counts").await, 5_000);
    running.shutdown().await.unwrap();
}

/// Lets the first article wait for a permit.
async fn count(liked: Liked, State(gate): State<Arc<Semaphore>>) -> HandlerResult {
    if liked.article_id == 0 {
        gate.acquire().await?.forget();
    }
    Ok(())
}

/// Articles whose messages lie in the partition of article 0's.
async fn neighbours(d: &Database, receipt: &Receipt) -> (i64, Receipt) {
    for article_id in 1.. {
        let other = like(&d.consign, article_id).await;
        if other.messages()[0].partition == receipt.messages()[0].partition {
            return (article_id, other);
        }
    }
    unreachable!("there are eight partitions")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_has_caught_up_with_a_message_that_it_has_done_before_an_earlier_one() {
    let (d, gate) = (Database::new().await, Arc::new(Semaphore::new(0)));
    let workers = d.consign.workers().with_state(Arc::clone(&gate));
    let running = workers.subscribe(queue("count", count).from_start()).start().await.unwrap();
    let first = like(&d.consign, 0).await;
    let (_, behind_it) = neighbours(&d, &first).await;
    assert!(d.consign.caught_up("count", &behind_it).timeout(LONG).await.unwrap().is_caught_up());
    let waits = d.consign.caught_up("count", &first).timeout(SHORT).await.unwrap();
    assert_eq!(waits, Freshness::TimedOut { behind: 1 });
    let all = d.consign.caught_up("count", None).timeout(SHORT).await.unwrap();
    assert!(matches!(all, Freshness::TimedOut { .. }), "{all:?}");
    gate.add_permits(1);
    assert!(d.consign.caught_up("count", &first).timeout(LONG).await.unwrap().is_caught_up());
    assert!(d.consign.caught_up("count", None).timeout(LONG).await.unwrap().is_caught_up());
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_failed_is_said_at_once_and_one_that_was_given_up_too() {
    async fn fail(liked: Liked, mut tx: Tx) -> HandlerResult {
        sqlx::query("select 1").execute(&mut *tx).await?;
        match liked.article_id {
            1 => Err("one is refused")?,
            2 => Err(consign::Verdict::reject("two is rejected")),
            _ => Ok(()),
        }
    }
    let d = Database::new().await;
    let retry = Retry::exponential(Duration::from_mins(10), Duration::from_mins(10));
    let queue = queue("fail", fail).from_start().retry(retry);
    let running = d.consign.workers().subscribe(queue).start().await.unwrap();
    for (article_id, wanted) in
        [(0, Freshness::CaughtUp), (1, Freshness::Waiting), (2, Freshness::Dead)]
    {
        let receipt = like(&d.consign, article_id).await;
        let found = d.consign.caught_up("fail", &receipt).timeout(LONG).await.unwrap();
        assert_eq!(found, wanted, "article {article_id}");
    }
    assert!(d.consign.caught_up("fail", None).timeout(LONG).await.unwrap().is_caught_up());
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_of_another_database_is_refused_and_one_of_another_topic_waits_for_nothing() {
    #[derive(serde::Serialize, serde::Deserialize, consign::Message)]
    #[message(kind = "other", topic = "others")]
    struct Other;
    let (d, elsewhere) = (Database::new().await, Database::new().await);
    let running = d.consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    let receipt = like(&elsewhere.consign, 1).await;
    let refused = d.consign.caught_up("likes", &receipt).await.unwrap_err();
    assert_eq!(refused.code(), "unknown-receipt");
    let receipt = d.consign.publish(&Other).await.unwrap();
    assert!(d.consign.caught_up("likes", &receipt).await.unwrap().is_caught_up());
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_who_wait_are_answered_and_leave_nothing_behind() {
    let d = Database::new().await;
    let receipt = like(&d.consign, 1).await;
    let wait = |timeout| {
        let (consign, receipt) = (d.consign.clone(), receipt.clone());
        tokio::spawn(async move { consign.caught_up("likes", &receipt).timeout(timeout).await })
    };
    let waiting = (0..1_000).map(|_| wait(LONG)).collect::<Vec<_>>();
    let impatient = (0..100).map(|_| wait(SHORT)).collect::<Vec<_>>();
    for impatient in impatient {
        assert_eq!(impatient.await.unwrap().unwrap(), Freshness::TimedOut { behind: 1 });
    }
    let running = d.consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().unwrap(), Freshness::CaughtUp);
    }
    running.shutdown().await.unwrap();
}

#[test]
fn who_waits_in_a_runtime_goes_on_when_another_one_that_looked_for_both_has_ended() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (stays, ends) = (runtime(), runtime());
    let d = stays.block_on(Database::new());
    let receipt = stays.block_on(like(&d.consign, 1));
    let first = d.consign.clone();
    let found = ends.block_on(async move {
        let wait = first.caught_up("likes", &receipt).timeout(SHORT).await;
        (wait.unwrap(), receipt)
    });
    assert_eq!(found.0, Freshness::TimedOut { behind: 1 });
    let (other, receipt) = (d.consign.clone(), found.1);
    let waits = stays.spawn(async move { other.caught_up("likes", &receipt).timeout(LONG).await });
    stays.block_on(async { tokio::time::sleep(SHORT / 2).await });
    drop(ends);
    stays.block_on(async {
        let running = d.consign.workers().subscribe(stream("likes", likes()));
        let running = running.start().await.unwrap();
        assert_eq!(waits.await.unwrap().unwrap(), Freshness::CaughtUp);
        running.shutdown().await.unwrap();
    });
}

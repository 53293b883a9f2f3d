//! Requests that stand in line share a commit, and nothing else.

use crate::database::{Database, Liked};
use futures_util::FutureExt;

/// Holds the line while `others` come to stand in it, so that they form one group.
async fn in_one_group<T: Send + 'static>(
    others: Vec<tokio::task::JoinHandle<T>>,
    first: consign::sqlite::Transaction,
) -> Vec<T> {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    first.rollback().await.unwrap();
    let mut answers = Vec::new();
    for other in others {
        answers.push(other.await.unwrap());
    }
    answers
}

fn like(d: &Database, article_id: i64, then: Then) -> tokio::task::JoinHandle<Result<(), String>> {
    let consign = d.consign.clone();
    tokio::spawn(async move {
        let mut tx = consign.begin().await.map_err(|error| error.to_string())?;
        let insert = sqlx::query("insert into likes (article_id) values (?1)").bind(article_id);
        insert.execute(&mut *tx).await.map_err(|error| error.to_string())?;
        tx.publish(&Liked { article_id }).await.map_err(|error| error.to_string())?;
        match then {
            Then::Commits => drop(tx.commit().await.map_err(|error| error.to_string())?),
            Then::RollsBack => tx.rollback().await.map_err(|error| error.to_string())?,
            Then::Drops => drop(tx),
            Then::CommitsRaw => {
                let _ = sqlx::raw_sql("commit").execute(&mut *tx).await;
                tx.commit().await.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Commits,
    RollsBack,
    Drops,
    CommitsRaw,
}

const ROWS: &str = "select count(*) from likes";
const MESSAGES: &str = "select count(*) from consign_log";

#[tokio::test(flavor = "multi_thread")]
async fn what_one_request_takes_back_the_others_keep() {
    for round in 0..20 {
        let d = Database::new().await;
        let first = d.consign.begin().await.unwrap();
        let ends = [Then::Commits, Then::RollsBack, Then::Drops, Then::Commits];
        let ends = ends.into_iter().cycle().skip(round);
        let others = (0..16).zip(ends).map(|(n, end)| like(&d, n, end)).collect();
        for answer in in_one_group(others, first).await {
            answer.unwrap();
        }
        assert_eq!((d.number(ROWS).await, d.number(MESSAGES).await), (8, 8));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_the_shared_transaction_fails_its_group_and_nobody_is_answered_falsely() {
    for _ in 0..20 {
        let d = Database::new().await;
        let first = d.consign.begin().await.unwrap();
        let then = |n| if n == 7 { Then::CommitsRaw } else { Then::Commits };
        let others = (0..16).map(|n| like(&d, n, then(n))).collect();
        let answers = in_one_group(others, first).await;
        assert!(answers[7].is_err());
        let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
        let accepted = i64::try_from(accepted).unwrap();
        assert_eq!((d.number(ROWS).await, d.number(MESSAGES).await), (accepted, accepted));
        d.like(1).await.unwrap();
    }
}

/// Keeps the thread of a connection busy for a while.
const SLOW: &str = "with recursive count(n) as (values (1) union all select n + 1 from count
    where n < 400000) select sum(n) from count";

/// Says three things one after the other, and waits for the answer to none, as a request does whose
/// client has hung up each time: what is still to be said when it goes must be taken back too.
fn hang_up(d: &Database) -> tokio::task::JoinHandle<()> {
    let consign = d.consign.clone();
    tokio::spawn(async move {
        let mut tx = consign.begin().await.unwrap();
        assert!(sqlx::query(SLOW).execute(&mut *tx).now_or_never().is_none());
        let _said = tx.publish(&Liked { article_id: 666 }).into_future().now_or_never();
        let insert = sqlx::query("insert into likes (article_id) values (666)");
        assert!(insert.execute(&mut *tx).now_or_never().is_none());
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_nobody_waits_for_is_taken_back_with_its_request() {
    for _ in 0..5 {
        let d = Database::new().await;
        let first = d.consign.begin().await.unwrap();
        let others = vec![like(&d, 1, Then::Commits)];
        let gone = hang_up(&d);
        in_one_group(others, first).await.pop().unwrap().unwrap();
        gone.await.unwrap();
        like(&d, 2, Then::Commits).await.unwrap().unwrap();
        assert_eq!((d.number(ROWS).await, d.number(MESSAGES).await), (2, 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_of_publish_are_each_answered_where_their_message_lies() {
    let d = Database::new().await;
    let calls = (0..256_u16).map(|article_id| {
        let consign = d.consign.clone();
        tokio::spawn(async move {
            let all =
                vec![Liked { article_id: i64::from(article_id) }; 1 + usize::from(article_id % 3)];
            (all.len(), consign.publish_all(&all).await.unwrap())
        })
    });
    let mut places = std::collections::HashSet::new();
    let mut published = 0;
    for call in calls.collect::<Vec<_>>() {
        let (count, receipt) = call.await.unwrap();
        assert_eq!(receipt.messages().len(), count);
        published += count;
        places.extend(receipt.messages().iter().map(|m| (m.partition, m.offset)));
    }
    assert_eq!(places.len(), published);
    assert_eq!(d.number(MESSAGES).await, i64::try_from(published).unwrap());
}

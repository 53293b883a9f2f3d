//! A savepoint in a worker's transaction: what comes after it can be taken back alone.

use crate::database::{Database, Job, Worker};
use consign_core::{Ledger, Outbox, Purpose, QueueLedger};
use consign_sql::WorkerTransaction;
use futures_util::FutureExt;
use sqlx::Connection;

const JOB: Job = Job { number: 7, key: None };

async fn write(tx: &mut WorkerTransaction, job: i64) {
    sqlx::query("insert into effects values (?1)").bind(job).execute(&mut **tx).await.unwrap();
}

async fn effects(d: &Database) -> Vec<i64> {
    let select = "select coalesce(group_concat(job), '') from (select job from effects order by 1)";
    let all: String = sqlx::query_scalar(select).fetch_one(&d.pool).await.unwrap();
    all.split(',').filter_map(|job| job.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_savepoint_is_taken_back_alone_and_as_often_as_it_fails() {
    let d = Database::new().await;
    let Worker { ledger, of, .. } = Worker::start(&d).await;
    let mut tx = ledger.begin_for(of, Purpose::Handlers).await.unwrap();
    write(&mut tx, 1).await;
    ledger.save(&mut tx).await.unwrap();
    for failed in [2, 3] {
        write(&mut tx, failed).await;
        ledger.take_back(&mut tx).await.unwrap();
    }
    write(&mut tx, 4).await;
    ledger.save(&mut tx).await.unwrap();
    write(&mut tx, 5).await;
    ledger.take_back(&mut tx).await.unwrap();
    write(&mut tx, 6).await;
    ledger.commit(tx).await.unwrap();
    assert_eq!(effects(&d).await, [1, 4, 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_after_a_savepoint_is_taken_back_with_it() {
    let d = Database::new().await;
    let Worker { ledger, of, .. } = Worker::start(&d).await;
    let mut tx = ledger.begin_for(of, Purpose::Handlers).await.unwrap();
    tx.publish(&JOB).await.unwrap_err();
    ledger.rollback(tx).await;
    let mut tx = ledger.begin_for(of, Purpose::Handlers).await.unwrap();
    ledger.save(&mut tx).await.unwrap();
    tx.publish(&JOB).await.unwrap();
    ledger.take_back(&mut tx).await.unwrap();
    let kept = tx.publish(&JOB).await.unwrap();
    ledger.commit(tx).await.unwrap();
    let there = "select count(*) from consign_log";
    assert_eq!(d.number(there).await, 1, "{kept} and no other");
    d.log.publish_all([&JOB]).await.unwrap();
    assert_eq!(d.number(there).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_nobody_waited_for_is_taken_back_and_does_not_run_later() {
    let d = Database::new().await;
    let Worker { ledger, of, .. } = Worker::start(&d).await;
    for _ in 0..20 {
        let mut tx = ledger.begin_for(of, Purpose::Handlers).await.unwrap();
        ledger.save(&mut tx).await.unwrap();
        for job in 0..10 {
            // It is sent when it is first polled, and its answer is never looked at.
            let insert = sqlx::query("insert into effects values (?1)").bind(job);
            drop(insert.execute(&mut *tx).now_or_never());
        }
        ledger.take_back(&mut tx).await.unwrap();
        ledger.commit(tx).await.unwrap();
    }
    assert_eq!(effects(&d).await, [0_i64; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_statement_that_nobody_waited_for_ends_before_it_is_taken_back() {
    let d = Database::new().await;
    let Worker { ledger, of, .. } = Worker::start(&d).await;
    let mut tx = ledger.begin_for(of, Purpose::Handlers).await.unwrap();
    write(&mut tx, 1).await;
    ledger.save(&mut tx).await.unwrap();
    let for_ever = "with recursive n(i) as (select 1 union all select i + 1 from n)
        select count(*) from n";
    drop(sqlx::query(for_ever).execute(&mut *tx).now_or_never());
    ledger.take_back(&mut tx).await.unwrap();
    ledger.commit(tx).await.unwrap();
    assert_eq!(effects(&d).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_savepoint_is_refused_where_what_came_before_ended_the_transaction_or_left_one_open() {
    let d = Database::new().await;
    let Worker { ledger, of, .. } = Worker::start(&d).await;
    for sql in ["rollback; begin", "insert or rollback into effects select 9 from effects"] {
        let mut tx = ledger.begin_for(of, Purpose::Handlers).await.unwrap();
        let unique = "create unique index one on effects (job)";
        sqlx::raw_sql(unique).execute(&mut *tx).await.unwrap();
        ledger.save(&mut tx).await.unwrap();
        write(&mut tx, 9).await;
        let _ = sqlx::raw_sql(sql).execute(&mut *tx).await;
        let refused = ledger.take_back(&mut tx).await.unwrap_err();
        assert_eq!(refused.code(), "transaction-left", "{sql}");
        assert_eq!(ledger.save(&mut tx).await.unwrap_err().code(), "transaction-left", "{sql}");
        ledger.rollback(tx).await;
    }
    let mut tx = ledger.begin_for(of, Purpose::Handlers).await.unwrap();
    std::mem::forget((*tx).begin().await.unwrap());
    assert_eq!(ledger.save(&mut tx).await.unwrap_err().code(), "transaction-nested");
    ledger.rollback(tx).await;
    assert_eq!(effects(&d).await, [0_i64; 0]);
}

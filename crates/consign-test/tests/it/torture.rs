//! What `torture` finds.

use consign::sqlite::{Consign, Tx};
use consign::{HandlerResult, Message, State, Sum, queue, stream};
use consign_test::{Report, Round, torture};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

const TABLES: &str = "create table stock (item integer primary key, n integer not null) strict;
    create table sums (item integer primary key, n integer not null) strict;";

#[derive(Serialize, Deserialize, Message)]
#[message(kind = "sold", topic = "sales", key = item)]
struct Sold {
    item: i64,
}

#[derive(Serialize, Deserialize, Message)]
#[message(kind = "counted", topic = "counts", key = item)]
struct Counted {
    item: i64,
}

async fn count(m: Sold, mut tx: Tx) -> HandlerResult {
    let add = "insert into stock values (?1, 1) on conflict do update set n = n + 1";
    sqlx::query(add).bind(m.item).execute(&mut *tx).await?;
    tx.publish(&Counted { item: m.item }).await?;
    Ok(())
}

/// Its effect is in a transaction of its own.
async fn count_apart(m: Sold, State(db): State<sqlx::SqlitePool>) -> HandlerResult {
    let add = "insert into stock values (?1, 1) on conflict do update set n = n + 1";
    sqlx::query(add).bind(m.item).execute(&db).await?;
    Ok(())
}

async fn tables(db: &sqlx::SqlitePool) -> sqlx::Result<()> {
    sqlx::raw_sql(TABLES).execute(db).await.map(drop)
}

async fn sell(consign: &Consign) -> consign::Result {
    for item in [1, 2, 1] {
        consign.publish(&Sold { item }).await?;
    }
    Ok(())
}

type Rows = Vec<(i64, i64)>;

async fn rows(db: &sqlx::SqlitePool, sql: &'static str) -> sqlx::Result<Rows> {
    sqlx::query_as(sql).fetch_all(db).await
}

/// A queue that publishes on, and a stream behind it.
async fn in_the_transaction(round: Round) -> Result<(Rows, Rows), Box<dyn Error + Send + Sync>> {
    let sums = || Sum::into("sums", "item", "n").by(|m: &Counted| (m.item, 1));
    let subscribe = move |workers: consign::Workers, _: &sqlx::SqlitePool| {
        workers.subscribe(queue("count", count)).subscribe(stream("sums", sums()))
    };
    let mut t = round.harness(tables, subscribe).await?;
    sell(t.consign()).await?;
    t.run_until_idle().await?;
    let stock = rows(t.db(), "select item, n from stock order by item").await?;
    Ok((stock, rows(t.db(), "select item, n from sums order by item").await?))
}

async fn apart(round: Round) -> Result<Rows, Box<dyn Error + Send + Sync>> {
    let subscribe = |workers: consign::Workers, db: &sqlx::SqlitePool| {
        workers.with_state(db.clone()).subscribe(queue("count", count_apart))
    };
    let mut t = round.harness(tables, subscribe).await?;
    sell(t.consign()).await?;
    t.run_until_idle().await?;
    Ok(rows(t.db(), "select item, n from stock order by item").await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn effects_in_the_transaction_are_the_same_after_every_crash() {
    let report = torture(in_the_transaction).await.unwrap();
    println!("{report}");
    report.assert_same();
    let wanted = vec![(1, 2), (2, 1)];
    assert_eq!(report.clean, (wanted.clone(), wanted));
    assert!(report.crashes >= 10, "each commit has two sides: {report}");
}

#[tokio::test]
async fn an_effect_outside_of_the_transaction_is_found_with_the_crash_that_doubles_it() {
    let report: Report<Rows> = torture(apart).await.unwrap();
    assert_eq!(report.clean, [(1, 2), (2, 1)]);
    let doubled = report.differences.iter().filter_map(|found| found.end.as_ref().ok());
    let more = |rows: &Rows| rows.iter().map(|(_, n)| n).sum::<i64>() > 3;
    assert!(doubled.clone().count() > 0 && doubled.clone().all(more), "{report}");
    assert!(report.to_string().contains("crashed before commit "), "{report}");
    assert!(report.to_string().contains(" of effects ("), "{report}");
}

#[tokio::test]
async fn a_scenario_that_ends_differently_by_itself_is_refused() {
    let runs = AtomicU32::new(0);
    let scenario = async |_| Ok::<_, consign::Error>(runs.fetch_add(1, Ordering::SeqCst));
    assert_eq!(torture(scenario).await.unwrap_err().code(), "torture-clean");
}

#[tokio::test]
async fn a_scenario_that_fails_after_a_crash_only_is_a_finding() {
    let calls = Arc::new(Mutex::new(0));
    let scenario = async |round: Round| -> Result<u32, Box<dyn Error + Send + Sync>> {
        let failed = in_the_transaction(round).await;
        *calls.lock().unwrap() += 1;
        // As one whose own check fails: the clean runs are the first two.
        if *calls.lock().unwrap() == 3 { Err("the check fails".into()) } else { failed.map(|_| 1) }
    };
    let report = torture(scenario).await.unwrap();
    assert_eq!(report.differences.len(), 1, "{report}");
    assert_eq!(report.differences[0].end, Err("the check fails".to_owned()));
}

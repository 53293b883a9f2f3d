//! What a worker's transaction may do, and how durable it is.

use crate::database::{Database, Job, Worker};
use consign_core::{Ledger, NewSubscription, Outbox, Purpose, QueueLedger, SubscriptionName};
use consign_sql::WorkerTransaction;

const NORMAL: i64 = 1;
const FULL: i64 = 2;
const JOB: Job = Job { number: 7, key: None };

async fn synchronous(tx: &mut WorkerTransaction) -> i64 {
    let select = "select synchronous from pragma_synchronous";
    sqlx::query_scalar(select).fetch_one(&mut **tx).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_publishes_is_run_again_durable_and_so_are_all_after_it() {
    let database = Database::new().await;
    let Worker { ledger, of, .. } = Worker::start(&database).await;
    let name = SubscriptionName::new("other").unwrap();
    let other = NewSubscription { name, ..crate::database::queue() };
    let other = ledger.subscribe(&other).await.unwrap();
    let mut tx = ledger.begin_for(of, Purpose::Handlers).await.unwrap();
    assert_eq!((synchronous(&mut tx).await, ledger.is_too_weak(&tx)), (NORMAL, false));
    assert_eq!(tx.publish(&JOB).await.unwrap_err().code(), "not-durable");
    assert!(ledger.is_too_weak(&tx));
    ledger.rollback(tx).await;
    let mut tx = ledger.begin_for(of, Purpose::Handlers).await.unwrap();
    let id = tx.publish(&JOB).await.unwrap();
    assert_eq!((synchronous(&mut tx).await, ledger.is_too_weak(&tx)), (FULL, false));
    ledger.commit(tx).await.unwrap();
    let found = database.number("select count(*) from consign_log").await;
    assert_eq!(found, 1, "{id} is published, once");
    for (of, expected) in [(of, FULL), (other, NORMAL), (of, FULL)] {
        let mut tx = ledger.begin_for(of, Purpose::Handlers).await.unwrap();
        assert_eq!(synchronous(&mut tx).await, expected);
        ledger.rollback(tx).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_of_what_happened_outside_are_durable_and_a_projection_is_not() {
    let database = Database::new().await;
    let Worker { ledger, of, .. } = Worker::start(&database).await;
    let mut tx = ledger.begin_for(of, Purpose::Marks).await.unwrap();
    assert_eq!(synchronous(&mut tx).await, FULL);
    ledger.commit(tx).await.unwrap();
    let mut tx = ledger.begin(of).await.unwrap();
    assert_eq!(synchronous(&mut tx).await, NORMAL);
    assert_eq!(tx.publish(&JOB).await.unwrap_err().code(), "projection-publishes");
    assert!(!ledger.is_too_weak(&tx));
    ledger.rollback(tx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_a_handler_took_back_is_not_remembered() {
    let database = Database::new().await;
    let Worker { ledger, of, .. } = Worker::start(&database).await;
    for _ in 0..2 {
        let mut tx = ledger.begin_for(of, Purpose::Handlers).await.unwrap();
        sqlx::raw_sql("savepoint mine").execute(&mut *tx).await.unwrap();
        let published = tx.publish(&Chore).await;
        sqlx::raw_sql("rollback to mine").execute(&mut *tx).await.unwrap();
        if published.is_ok() {
            ledger.commit(tx).await.unwrap();
        } else {
            ledger.rollback(tx).await;
        }
    }
    database.log.publish_all([&Chore]).await.unwrap();
    let there = "select count(*) from consign_topic where name = 'chores'";
    assert_eq!(database.number(there).await, 1, "it is created when it is needed again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_says_whether_something_may_have_been_written() {
    let database = Database::new().await;
    let worker = Worker::start(&database).await;
    let (ledger, of) = (&worker.ledger, worker.of);
    let mut tx = ledger.begin_for(of, Purpose::Handlers).await.unwrap();
    ledger.call_begins(&mut tx);
    assert!(!ledger.has_written(&mut tx).await);
    for (sql, writes) in [
        ("select count(*) from effects", false),
        ("insert into effects values (1)", true),
        ("select 1", false),
        ("create table made_here (id integer primary key)", true),
        ("insert into effects values (1), (abs(-9223372036854775808))", true),
        ("update effects set job = 2 where job = 3", true),
    ] {
        let failed = sqlx::raw_sql(sql).execute(&mut *tx).await.is_err();
        assert_eq!(failed, sql.contains("abs"), "{sql}");
        assert_eq!(ledger.has_written(&mut tx).await, writes, "{sql}");
        ledger.call_begins(&mut tx);
    }
    ledger.rollback(tx).await;
}

/// Of a topic that is not there yet.
struct Chore;

impl consign_core::Message for Chore {
    const TOPIC: &'static str = "chores";
    const KINDS: &'static [consign_core::Kind] =
        &[consign_core::Kind { name: "chore", version: 1 }];

    fn kind(&self) -> consign_core::Kind {
        Self::KINDS[0]
    }

    fn key(&self) -> consign_core::Result<Option<consign_core::Key>> {
        Ok(None)
    }

    fn encode(&self) -> consign_core::Result<bytes::Bytes> {
        Ok(bytes::Bytes::new())
    }

    fn decode(_: &str, _: u32, _: &[u8]) -> consign_core::Result<Self> {
        Ok(Self)
    }
}

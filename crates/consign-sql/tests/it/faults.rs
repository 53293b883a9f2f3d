//! Whose fault an error is: errors as SQLite and sqlx make them.

use crate::database::{Database, Worker};
use consign_core::{BoxError, Error, Fault, QueueLedger};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Connection, SqliteConnection};
use std::io::{self, ErrorKind};
use std::time::Duration;

async fn said(connection: &mut SqliteConnection, sql: &'static str) -> BoxError {
    Box::new(sqlx::raw_sql(sql).execute(connection).await.unwrap_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_to_blame_for_what_it_breaks_and_for_nothing_else() {
    let database = Database::new().await;
    let ledger = Worker::join(&database).await.ledger;
    database.run("create table taken (id integer primary key); insert into taken values (1)").await;
    let mut one = database.pool.acquire().await.unwrap();
    let mut cases = vec![
        (said(&mut one, "insert into taken values (1)").await, Fault::Message),
        (said(&mut one, "select abs(-9223372036854775808)").await, Fault::Message),
        (said(&mut one, "selekt").await, Fault::Message),
        (said(&mut one, "select * from not_there").await, Fault::Missing),
        (said(&mut one, "select not_there from taken").await, Fault::Missing),
        (said(&mut one, "insert into taken (other) values (2)").await, Fault::Missing),
        ("the mail server said no".into(), Fault::Message),
        (Box::new(io::Error::from(ErrorKind::ConnectionRefused)), Fault::Message),
        (Box::new(io::Error::from(ErrorKind::StorageFull)), Fault::Outage),
        (Box::new(sqlx::Error::PoolTimedOut), Fault::Outage),
        (Box::new(sqlx::Error::PoolClosed), Fault::Outage),
        (Box::new(sqlx::Error::Io(ErrorKind::BrokenPipe.into())), Fault::Outage),
        (Box::new(sqlx::Error::RowNotFound), Fault::Message),
        (Box::new(Error::new(Error::BUSY, "busy")), Fault::Outage),
        (Box::new(Error::new("rejected", "no")), Fault::Message),
    ];
    let caused = Error::new("database", "cannot look").caused_by(sqlx::Error::PoolTimedOut);
    cases.push((Box::new(caused), Fault::Outage));
    for (error, fault) in &cases {
        assert_eq!(ledger.fault(error), *fault, "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_locked_full_away_or_read_only_is_not_the_messages_fault() {
    let database = Database::new().await;
    let ledger = Worker::join(&database).await.ledger;
    let path = database.rows("select file from pragma_database_list").await.remove(0);
    let options = SqliteConnectOptions::new().filename(&path).busy_timeout(Duration::ZERO);
    let mut waits = SqliteConnection::connect_with(&options).await.unwrap();
    let mut holds = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("begin immediate").execute(&mut holds).await.unwrap();
    let busy = said(&mut waits, "insert into effects values (1)").await;
    sqlx::raw_sql("rollback").execute(&mut holds).await.unwrap();
    let full = "pragma max_page_count = 1; insert into effects values (zeroblob(1000000))";
    let full = said(&mut waits, full).await;
    let mut reads = SqliteConnection::connect_with(&options.clone().read_only(true)).await.unwrap();
    let read_only = said(&mut reads, "insert into effects values (1)").await;
    let nowhere = SqliteConnectOptions::new().filename("/nowhere/at/all.db");
    let pool = SqlitePoolOptions::new().connect_with(nowhere).await;
    let away: BoxError = Box::new(pool.unwrap_err());
    for (error, fault) in [
        (busy, Fault::Outage),
        (full, Fault::Outage),
        (read_only, Fault::Missing),
        (away, Fault::Outage),
    ] {
        assert_eq!(ledger.fault(&error), fault, "{error:?}");
    }
}

//! Torture: a worker is killed at each commit, and the end has to be as if it were not.
//!
//! A shop books each payment. Done in the worker's transaction, once; done at the bank, which does
//! not know of it, sometimes twice, unless the bank is told what it may take for a repeat.

use consign::sqlite::Tx;
use consign::{Delivery, HandlerResult, Message, State, Subscribed, Workers, queue};
use consign_test::{Difference, Harness, Report, Round, torture};
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};

#[derive(Serialize, Deserialize, Message)]
#[message(kind = "payment.asked", topic = "payments", key = order)]
struct PaymentAsked {
    order: i64,
    cents: i64,
}

/// A bank of the test's own: each transfer under a name, which it knows for a repeat.
#[derive(Clone, Default)]
struct Bank(Arc<Mutex<BTreeMap<String, i64>>>);

impl Bank {
    fn transfer(&self, name: String, cents: i64) {
        self.0.lock().expect("nobody panics").insert(name, cents);
    }

    fn transfer_anew(&self, cents: i64) {
        let mut all = self.0.lock().expect("nobody panics");
        let nth = all.len();
        all.insert(format!("transfer {nth}"), cents);
    }

    fn taken(&self) -> i64 {
        self.0.lock().expect("nobody panics").values().sum()
    }
}

/// The effect commits with the record that it happened.
async fn book(m: PaymentAsked, mut tx: Tx) -> HandlerResult {
    let add = "update account set cents = cents + $1";
    sqlx::query(add).bind(m.cents).execute(&mut *tx).await?;
    Ok(())
}

/// Each call is a new transfer.
async fn transfer(m: PaymentAsked, State(bank): State<Bank>) -> HandlerResult {
    bank.transfer_anew(m.cents);
    Ok(())
}

/// The same message is the same transfer, however often it comes.
async fn transfer_once(
    m: PaymentAsked,
    State(bank): State<Bank>,
    delivery: Delivery,
) -> HandlerResult {
    bank.transfer(delivery.id.to_string(), m.cents);
    Ok(())
}

type Tried = Result<i64, Box<dyn Error + Send + Sync>>;

/// Three payments, and how much was booked in the end.
async fn books(round: Round) -> Tried {
    let subscribe = |workers: Workers, _: &SqlitePool| workers.subscribe(queue("book", book));
    let mut t = round.harness(tables, subscribe).await?;
    ask(&t).await?;
    t.run_until_idle().await?;
    Ok(sqlx::query_scalar("select cents from account").fetch_one(t.db()).await?)
}

/// Three payments, and how much the bank has taken in the end.
async fn at_the_bank(
    round: Round,
    subscribe: fn(Workers<Bank>) -> Workers<Bank, Subscribed>,
) -> Tried {
    let bank = Bank::default();
    let state = bank.clone();
    let subscribe = move |w: Workers, _: &SqlitePool| subscribe(w.with_state(state.clone()));
    let mut t = round.harness(tables, subscribe).await?;
    ask(&t).await?;
    t.run_until_idle().await?;
    Ok(bank.taken())
}

async fn transfers(round: Round) -> Tried {
    at_the_bank(round, |workers| workers.subscribe(queue("transfer", transfer))).await
}

async fn transfers_once(round: Round) -> Tried {
    at_the_bank(round, |workers| workers.subscribe(queue("transfer", transfer_once))).await
}

async fn tables(db: &SqlitePool) -> sqlx::Result<()> {
    let account = "create table account (cents integer not null); insert into account values (0)";
    sqlx::raw_sql(account).execute(db).await.map(drop)
}

async fn ask(t: &Harness) -> consign::Result {
    for order in 1..=3 {
        t.consign().publish(&PaymentAsked { order, cents: 100 }).await?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the example shows what happens")]
fn say(what: &str, report: &Report<i64>) {
    let is_more = |found: &Difference<i64>| found.end.as_ref().is_ok_and(|end| *end > report.clean);
    if report.differences.is_empty() {
        println!("{what}: {} cents, whenever the worker dies", report.clean);
    } else if report.differences.iter().all(is_more) {
        println!("{what}: {} cents, and more if the worker dies before a commit", report.clean);
    } else {
        println!("{what}: {report}");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    say("booked in the worker's transaction", &torture(books).await?);
    say("transferred, each call anew", &torture(transfers).await?);
    say("transferred, under the message's id", &torture(transfers_once).await?);
    Ok(())
}

//! honker at work: a batch's claim, effects and acks, or its offset, in one transaction each.

use honker::{Database, EnqueueOpts, QueueOpts, Transaction};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::time::Duration;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const BATCH: i64 = 1_000;
const WORKER: &str = "worker-1";
const CLAIM: &str = "select honker_claim_batch('written', ?1, ?2, 300)";
const COUNT: &str = "insert into author_counts (author_id, articles) values (?1, 1)
    on conflict (author_id) do update set articles = articles + 1";

#[derive(Serialize, Deserialize)]
struct Written {
    author_id: i64,
    text: String,
}

#[derive(Deserialize)]
struct Claimed {
    id: i64,
    payload: String,
}

fn main() -> Result {
    let words = std::env::args().collect::<Vec<_>>();
    let words = words.iter().map(String::as_str).collect::<Vec<_>>();
    match words[1..] {
        ["fill-queue", database, messages] => fill(database, messages, |db, tx, message| {
            let queue = db.queue("written", QueueOpts::default());
            queue.enqueue_tx(tx, message, EnqueueOpts::default()).map(drop)
        }),
        ["fill-stream", database, messages] => fill(database, messages, |db, tx, message| {
            db.stream("written").publish_tx(tx, message).map(drop)
        }),
        ["queue", database] => work(database, claim),
        ["stream", database] => work(database, read),
        _ => {
            Err("usage: fill-queue|fill-stream DATABASE MESSAGES, or queue|stream DATABASE".into())
        }
    }
}

fn fill(
    database: &str,
    messages: &str,
    publish: impl Fn(&Database, &Transaction<'_>, &Written) -> honker::Result<()>,
) -> Result {
    let (db, messages) = (Database::open(database)?, messages.parse::<i64>()?);
    let tx = db.transaction()?;
    for number in 0..messages {
        let (author_id, text) = (number % 1_000, "x".repeat(33));
        publish(&db, &tx, &Written { author_id, text })?;
    }
    Ok(tx.commit()?)
}

/// Goes on until it is killed.
fn work(database: &str, batch: impl Fn(&Database, &Transaction<'_>) -> Result<usize>) -> Result {
    let db = Database::open(database)?;
    loop {
        let tx = db.transaction()?;
        let handled = batch(&db, &tx)?;
        tx.commit()?;
        if handled == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn claim(_: &Database, tx: &Transaction<'_>) -> Result<usize> {
    let claimed: String = tx.query_row(CLAIM, (WORKER, BATCH), |row| row.get(0))?;
    // As the library decodes it for those who claim outside of a transaction.
    let claimed: Vec<Claimed> = from_json(&claimed)?;
    apply(tx, claimed.iter().map(|job| job.payload.as_str()))?;
    let ids = claimed.iter().map(|job| job.id.to_string()).collect::<Vec<_>>().join(",");
    let acked: i64 =
        tx.query_row("select honker_ack_batch(?1, ?2)", (format!("[{ids}]"), WORKER), |row| {
            row.get(0)
        })?;
    if acked == claimed.len() as i64 { Ok(claimed.len()) } else { Err("a claim was lost".into()) }
}

fn read(db: &Database, tx: &Transaction<'_>) -> Result<usize> {
    let offset: i64 =
        tx.query_row("select honker_stream_get_offset(?1, 'written')", [WORKER], |row| row.get(0))?;
    let events: String = tx.query_row(
        "select honker_stream_read_since('written', ?1, ?2)",
        (offset, BATCH),
        |row| row.get(0),
    )?;
    let events: Vec<Event> = from_json(&events)?;
    apply(tx, events.iter().map(|event| event.payload.as_str()))?;
    if let Some(last) = events.last() {
        db.stream("written").save_offset_tx(tx, WORKER, last.offset)?;
    }
    Ok(events.len())
}

#[derive(Deserialize)]
struct Event {
    offset: i64,
    payload: String,
}

fn apply<'a>(tx: &Transaction<'_>, payloads: impl Iterator<Item = &'a str>) -> Result {
    let mut count = tx.conn().prepare_cached(COUNT)?;
    for payload in payloads {
        let written: Written = from_json(payload)?;
        count.execute([written.author_id])?;
    }
    Ok(())
}

fn from_json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    Ok(serde_json::from_str(text)?)
}

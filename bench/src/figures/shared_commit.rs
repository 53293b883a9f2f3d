//! Clients that write as fast as they can on a slow disk, beside a loop with a commit each.

use crate::Result;
use crate::bench::Bench;
use crate::database::{self, number, verify};
use crate::messages::{AUTHORS, Written};
use crate::part::{Part, Process};
use crate::record::{Goal, Record};
use consign::sqlite::Consign;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const CLIENTS: usize = 16;
const BODY: usize = 1_024;
const PAYLOAD: usize = 60;

/// The statements of a request.
pub(crate) const ARTICLE: &str = "insert into articles (author_id, body) values (?1, ?2)";
const TAKE_OFFSET: &str = "update consign_partition set next_offset = next_offset + 1
    where number = ?1 returning next_offset - 1";
const LOG: &str = "insert into consign_log
    (position, id, kind, version, key, headers, payload, published_at)
    values (?1, ?2, 'article.written', 1, ?3, null, ?4, ?5)";

pub(crate) fn measure(bench: &Bench, run: u32, record: &mut Record) -> Result {
    let shim = Some(bench.slow_disk()?);
    let seconds = bench.seconds / 2.0;
    let consign = || {
        let database = bench.with_backlog("requests.db", crate::backlog::NOTHING)?;
        Process::start(&Part::Requests(Requests { database, seconds }), shim)?.answer::<f64>()
    };
    let by_hand = || {
        let database = bench.with_backlog("requests.db", crate::backlog::NOTHING)?;
        let part = Part::RequestsByHand(RequestsByHand { database, seconds });
        Process::start(&part, shim)?.answer::<f64>()
    };
    let (ours, theirs) = if run.is_multiple_of(2) {
        let theirs = by_hand()?;
        (consign()?, theirs)
    } else {
        (consign()?, by_hand()?)
    };
    record.add("requests of 16 clients, a sync of 4 ms", "/s", Goal::None, ours);
    record.add("by hand, a commit each", "/s", Goal::None, theirs);
    record.add("÷ a commit each", "", Goal::AtLeast(5.0), ours / theirs);
    Ok(())
}

/// Through consign.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Requests {
    database: PathBuf,
    seconds: f64,
}

impl Requests {
    /// Requests answered a second.
    pub(crate) async fn run(self) -> Result<f64> {
        let consign = database::open(&self.database).await?;
        let started = Instant::now();
        let until = started + Duration::from_secs_f64(self.seconds);
        let clients: Vec<_> = (0..CLIENTS as i64)
            .map(|client| tokio::spawn(requests(consign.clone(), client, until)))
            .collect();
        let mut answered = 0;
        for client in clients {
            answered += client.await??;
        }
        let took = started.elapsed().as_secs_f64();
        verify_written(&database::by_hand(&self.database, "normal")?, answered)?;
        Ok(answered as f64 / took)
    }
}

async fn requests(consign: Consign, client: i64, until: Instant) -> Result<i64> {
    let (body, mut answered) = ("x".repeat(BODY), 0);
    while Instant::now() < until {
        let author_id = (client * 31 + answered) % AUTHORS;
        let mut tx = consign.begin().await?;
        sqlx::query(ARTICLE).bind(author_id).bind(&body).execute(&mut *tx).await?;
        tx.publish(&Written::of_bytes(author_id as u64, PAYLOAD)).await?;
        tx.commit().await?;
        answered += 1;
    }
    Ok(answered)
}

/// By hand: one connection, one request after the other.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RequestsByHand {
    database: PathBuf,
    seconds: f64,
}

impl RequestsByHand {
    pub(crate) fn run(self) -> Result<f64> {
        let db = Mutex::new(database::by_hand(&self.database, "full")?);
        let started = Instant::now();
        let until = started + Duration::from_secs_f64(self.seconds);
        let answered = std::thread::scope(|threads| {
            let db = &db;
            let clients: Vec<_> = (0..CLIENTS as i64)
                .map(|client| threads.spawn(move || requests_by_hand(db, client, until)))
                .collect();
            let answers = clients.into_iter().map(|client| client.join().expect("no panic"));
            answers.sum::<Result<i64>>()
        })?;
        let took = started.elapsed().as_secs_f64();
        let db = db.into_inner().map_err(|_| "a client panicked")?;
        verify_written(&db, answered)?;
        Ok(answered as f64 / took)
    }
}

fn requests_by_hand(db: &Mutex<Connection>, client: i64, until: Instant) -> Result<i64> {
    let (body, mut answered) = ("x".repeat(BODY), 0);
    while Instant::now() < until {
        let author_id = (client * 31 + answered) % AUTHORS;
        let payload = serde_json::to_vec(&Written::of_bytes(author_id as u64, PAYLOAD))?;
        let db = db.lock().map_err(|_| "a client panicked")?;
        db.prepare_cached("begin immediate")?.execute([])?;
        db.prepare_cached(ARTICLE)?.execute(params![author_id, body])?;
        publish(&db, answered % 8, author_id, &payload)?;
        db.prepare_cached("commit")?.execute([])?;
        answered += 1;
    }
    Ok(answered)
}

/// What `publish` writes, by hand.
pub(crate) fn publish(db: &Connection, number: i64, author_id: i64, payload: &[u8]) -> Result {
    let offset: i64 = db.prepare_cached(TAKE_OFFSET)?.query_row([number], |row| row.get(0))?;
    let (position, key) = (number << 44 | offset, author_id.to_string());
    let id = i128::from(position).to_be_bytes();
    db.prepare_cached(LOG)?.execute(params![position, id, key.as_bytes(), payload, 0])?;
    Ok(())
}

fn verify_written(db: &Connection, answered: i64) -> Result {
    verify("articles", number(db, "select count(*) from articles")?, answered)?;
    let log = "select count(*) from consign_log where kind = 'article.written'";
    verify("messages", number(db, log)?, answered)
}

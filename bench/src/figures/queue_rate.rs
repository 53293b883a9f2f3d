//! One message, one effect, exactly once: beside a loop by hand, and beside those who do the like.

use crate::Result;
use crate::backlog::Waiting;
use crate::bench::{Bench, SMALL};
use crate::database::{self, number};
use crate::drained::{EFFECTS, PASSED, Rate, verify_once, watch};
use crate::part::{Part, Process};
use crate::peer::Peer;
use crate::queue_by_hand::QueueByHand;
use crate::queue_worker::{Fails, Form, QueueWorker};
use crate::record::{Goal, Record};
use std::path::Path;

pub(crate) const SHORT: i64 = 20_000;
pub(crate) const LONG: i64 = 200_000;
pub(crate) const MILLION: i64 = 1_000_000;
/// What a row is called, how it is handled, in how many processes.
const ROWS: [(&str, Form, usize); 8] = [
    ("async Tx, 1 process", Form::Tx(Fails::None), 1),
    ("async Tx, 4 processes", Form::Tx(Fails::None), 4),
    ("Vec<M> and tx.run, 1 process", Form::Batch, 1),
    ("Vec<M> and tx.run, 4 processes", Form::Batch, 4),
    ("Sum as a queue, 1 process", Form::Sum, 1),
    ("Sum as a queue, 4 processes", Form::Sum, 4),
    ("no Tx, marks FULL, 1 process", Form::WithoutTx, 1),
    ("no Tx, marks FULL, 4 processes", Form::WithoutTx, 4),
];
/// A peer's program, its way, how many messages it drains while one waits, and its name.
const PEERS: [(&str, &str, i64, &str); 4] = [
    ("river", "complete-tx", SHORT, "riverqueue, job_complete_tx"),
    ("honker", "queue", LONG, "honker, claim_batch(1,000) in one transaction"),
    ("honker", "stream", LONG, "honker, stream, 1,000 in one transaction"),
    ("apalis", "acks-apart", 4_000, "apalis-sqlite of 4,000, at least once"),
];

pub(crate) fn measure(bench: &Bench, messages: i64, record: &mut Record) -> Result {
    let ours = ROWS.map(|(name, form, processes)| {
        let rate = drain(bench, messages, form, processes)?;
        add(record, name, rate);
        Ok(rate.per_second)
    });
    let [tx, _, batch, _, sum, _, ..] = ours.map(|rate: Result<f64>| rate);
    let by_hand = by_hand(bench, messages)?;
    add(record, "rusqlite by hand, batches of 100", by_hand);
    let batch = batch?;
    record.add("batch ÷ by hand", "", Goal::AtLeast(0.5), batch / by_hand.per_second);
    let goals = [("async Tx", tx?, 5.0), ("batch", batch, 2.0), ("Sum", sum?, 2.0)];
    for (number, (program, way, most, name)) in PEERS.into_iter().enumerate() {
        if messages > most && messages > SHORT {
            continue;
        }
        let Some(peer) = Peer::find(program)? else { continue };
        let rate = drain_peer(bench, &peer, way, messages.min(most))?;
        add(record, name, rate);
        if let Some((ours, of_ours, goal)) = goals.get(number) {
            let name = format!("{ours} ÷ {name}");
            record.add(&name, "", Goal::AtLeast(*goal), of_ours / rate.per_second);
        }
    }
    Ok(())
}

fn add(record: &mut Record, name: &str, rate: Rate) {
    record.add(name, "effects/s", Goal::None, rate.per_second);
    record.add(&format!("busy: {name}"), "% of 200", Goal::None, rate.busy);
}

/// Processes of consign that share what waits.
pub(crate) fn drain(bench: &Bench, messages: i64, form: Form, processes: usize) -> Result<Rate> {
    let waiting = Waiting { messages: messages as u64, bytes: SMALL };
    let database = bench.with_backlog("queue.db", waiting)?;
    let rate = drain_here(&database, messages, form, processes)?;
    if form != Form::WithoutTx {
        verify_once(&database, messages)?;
    }
    Ok(rate)
}

pub(crate) fn drain_here(
    database: &Path,
    effects: i64,
    form: Form,
    processes: usize,
) -> Result<Rate> {
    let db = database::by_hand(database, "normal")?;
    db.execute_batch(database::TABLES)?;
    let select = if form == Form::WithoutTx { PASSED } else { EFFECTS };
    let start = |_| {
        let part = QueueWorker { database: database.to_owned(), form };
        Process::start(&Part::QueueWorker(part), None)
    };
    let working = (0..processes).map(start).collect::<Result<Vec<_>>>()?;
    let rate = watch(&db, select, effects)?;
    for process in working {
        process.answer::<u64>()?;
    }
    Ok(rate)
}

fn by_hand(bench: &Bench, messages: i64) -> Result<Rate> {
    let waiting = Waiting { messages: messages as u64, bytes: SMALL };
    let database = bench.with_backlog("queue.db", waiting)?;
    let db = database::by_hand(&database, "normal")?;
    let by_hand = QueueByHand { database: database.clone() };
    let process = Process::start(&Part::QueueByHand(by_hand), None)?;
    let rate = watch(&db, EFFECTS, messages)?;
    process.answer::<u64>()?;
    verify_once(&database, messages)?;
    let done = number(&db, "select count(*) from hand_done")?;
    database::verify("rows that are done", done, messages)?;
    Ok(rate)
}

fn drain_peer(bench: &Bench, peer: &Peer, way: &str, messages: i64) -> Result<Rate> {
    let database = bench.fresh("peer.db")?;
    let db = database::by_hand(&database, "normal")?;
    db.execute_batch(database::TABLES)?;
    peer.fill(&database, messages, way)?;
    let draining = peer.drain(&database, way)?;
    let rate = watch(&db, EFFECTS, messages)?;
    drop(draining);
    verify_once(&database, messages)?;
    Ok(rate)
}

//! Publishes tasks, and judges what became of them, by the history checker.

use crate::database::Database;
use crate::queue_work::{NOTES, Task};
use consign::sqlite::Consign;
use consign_test::History;
use consign_test::checker::{
    Counts, CursorRow, Effects, Expected, Gate, LedgerRows, Logged, Reader, Scan, Witness, check,
};
use consign_test::history::{MessageNumber, Moment, Place, Publishing, Recorder, What};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

const TOPIC: &str = "tasks";
/// The process that runs the tests; children have their process ids.
const HERE: u32 = 0;
/// Whoever does the harm: a recorder has one thread, or its clock goes back.
const HARM: u32 = 1;

/// Tasks of each key in turn, published until the end is asked for.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    publishing: JoinHandle<i64>,
    history: tempfile::TempDir,
    harm: Recorder,
}

impl Load {
    /// One task of each key in one commit, again and again; those of [`prepare`] count as published.
    ///
    /// [`prepare`]: crate::queue_work::prepare
    pub(crate) fn start(consign: Consign, keys: i64, every: Duration) -> Self {
        let history = tempfile::tempdir().unwrap();
        let notes = Recorder::open(history.path(), HERE).unwrap();
        let harm = Recorder::open(history.path(), HARM).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let first = (0..keys).map(|key| Task { number: key, key }).collect::<Vec<_>>();
        note_publishing(&notes, &first);
        note_published(&notes, &first, true);
        let publishing = tokio::spawn(async move {
            let mut round = 1;
            while !asked.load(Ordering::Relaxed) {
                let number = |key| round * keys + key;
                let tasks = (0..keys).map(|key| Task { number: number(key), key });
                let tasks = tasks.collect::<Vec<_>>();
                note_publishing(&notes, &tasks);
                let is_published = consign.publish_all(&tasks).await.is_ok();
                note_published(&notes, &tasks, is_published);
                round += 1;
                tokio::time::sleep(every).await;
            }
            round * keys
        });
        Self { stop, publishing, history, harm }
    }

    pub(crate) fn fault(&self, kind: &str, target: u32) {
        let what = What::Fault { kind: kind.to_owned(), target: target.to_string() };
        self.harm.note(what).unwrap();
    }

    pub(crate) fn healed(&self, kind: &str, target: u32) {
        let what = What::Healed { kind: kind.to_owned(), target: target.to_string() };
        self.harm.note(what).unwrap();
    }

    /// Ends; what was published is then to be judged.
    pub(crate) async fn end(self) -> Published {
        self.stop.store(true, Ordering::Relaxed);
        let tasks = self.publishing.await.unwrap();
        Published { tasks, history: self.history }
    }
}

fn note_publishing(recorder: &Recorder, tasks: &[Task]) {
    for task in tasks {
        let publishing = Publishing {
            message: message(task),
            topic: TOPIC.to_owned(),
            kind: "task.given".to_owned(),
            key: Some(task.key.to_string()),
            publisher: HERE,
            number: message(task).0,
            hash: hash(task),
        };
        recorder.note(What::Publishing(publishing)).unwrap();
    }
}

fn note_published(recorder: &Recorder, tasks: &[Task], is_published: bool) {
    for message in tasks.iter().map(message) {
        let what = if is_published {
            What::Published { message, place: None }
        } else {
            What::PublishUnknown { message }
        };
        recorder.note(what).unwrap();
    }
}

fn message(task: &Task) -> MessageNumber {
    MessageNumber(task.number.cast_unsigned())
}

fn hash(task: &Task) -> u64 {
    (task.number << 16 ^ task.key).cast_unsigned()
}

/// What was published in a run.
pub(crate) struct Published {
    /// How many, with those that nobody can say of whether they were.
    pub(crate) tasks: i64,
    history: tempfile::TempDir,
}

impl Published {
    /// Every rule, for these queues: `witness` has its effects once, `note` at least once.
    pub(crate) async fn judge(&self, d: &Database, queues: &[&str], gates: &[Gate]) {
        let history = History::read(self.history.path(), 0).unwrap();
        let scan = scan(d, queues).await;
        let reader = |name: &&str| match *name {
            "witness" => Reader::queue("witness", TOPIC),
            name => Reader { effects: Effects::AtLeastOnce, ..Reader::queue(name, TOPIC) },
        };
        let expected = Expected {
            subscriptions: queues.iter().map(reader).collect(),
            drains_within: Some(Duration::from_mins(1)),
            gates: gates.to_vec(),
            ..Expected::default()
        };
        check(&history, &scan, &expected).expect_valid();
    }
}

async fn scan(d: &Database, queues: &[&str]) -> Scan {
    let log = "select p.partition, l.position & ((1 << 44) - 1), l.payload
        from consign_log l join consign_partition p on p.number = l.position >> 44
        order by l.position";
    let log = sqlx::query_as::<_, (u16, i64, Vec<u8>)>(log).fetch_all(&d.pool).await.unwrap();
    let log = log.iter().map(|(partition, offset, payload)| {
        let offset = offset.cast_unsigned();
        let place = Place { topic: TOPIC.to_owned(), partition: *partition, offset };
        let task = task(payload);
        Logged { place, message: message(&task), hash: hash(&task) }
    });
    let mut witnesses = Vec::new();
    let mut ledgers = Vec::new();
    for name in queues {
        witnesses.extend(if *name == "witness" { rows(d).await } else { lines(d) });
        ledgers.push(ledger(d, name).await);
    }
    Scan { at: Moment(u64::MAX), log: log.collect(), witnesses, ledgers }
}

fn task(payload: &[u8]) -> Task {
    serde_json::from_slice(payload).unwrap()
}

async fn rows(d: &Database) -> Vec<Witness> {
    let select = "select n, number, key, epoch, worker from witnesses order by n";
    let rows = sqlx::query_as::<_, (i64, i64, i64, i64, u32)>(select).fetch_all(&d.pool).await;
    let row = |(n, number, key, epoch, worker): (i64, i64, i64, i64, u32)| Witness {
        n: n.cast_unsigned(),
        subscription: "witness".to_owned(),
        message: MessageNumber(number.cast_unsigned()),
        key: Some(key.to_string()),
        epoch: epoch.cast_unsigned(),
        worker,
    };
    rows.unwrap().into_iter().map(row).collect()
}

/// What a process without `Tx` has done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    pub(crate) worker: u32,
    pub(crate) number: i64,
    pub(crate) key: i64,
}

impl Note {
    pub(crate) fn of(line: &str) -> Self {
        let mut words = line.split(' ');
        let mut number = || words.next().unwrap().parse::<i64>().unwrap();
        let (worker, number, key) = (number(), number(), number());
        Self { worker: u32::try_from(worker).unwrap(), number, key }
    }
}

/// All notes, in the order in which they were written.
pub(crate) fn notes(d: &Database) -> Vec<Note> {
    // Who has nothing to do may not have come so far.
    let notes = std::fs::read_to_string(d.folder.path().join(NOTES)).unwrap_or_default();
    notes.lines().map(Note::of).collect()
}

/// Of each worker: how many of its notes somebody has written once more.
pub(crate) fn repeated(d: &Database) -> BTreeMap<u32, usize> {
    let (mut last, mut repeated) = (HashMap::new(), BTreeMap::new());
    for note in notes(d) {
        if let Some(worker) = last.insert(note.number, note.worker) {
            *repeated.entry(worker).or_default() += 1;
        }
    }
    repeated
}

/// A note does not know its epoch: that of a worker stands for it.
fn lines(d: &Database) -> Vec<Witness> {
    let line = |(n, note): (usize, Note)| Witness {
        n: u64::try_from(n).unwrap(),
        subscription: "note".to_owned(),
        message: MessageNumber(note.number.cast_unsigned()),
        key: Some(note.key.to_string()),
        epoch: note.worker.into(),
        worker: note.worker,
    };
    notes(d).into_iter().enumerate().map(line).collect()
}

async fn ledger(d: &Database, name: &str) -> LedgerRows {
    LedgerRows {
        subscription: name.to_owned(),
        cursors: cursors(d, name).await,
        marks: marks(d, name).await,
        waiting: set_aside(d, "consign_retry", name).await,
        dead: set_aside(d, "consign_dead_letter", name).await,
        discarded: Vec::new(),
        counts: Some(counts(d, name).await),
        counters: BTreeMap::new(),
    }
}

async fn cursors(d: &Database, name: &str) -> Vec<CursorRow> {
    let select = "select p.partition, c.started_offset, c.next_offset from consign_cursor c
        join consign_partition p on p.number = c.partition
        join consign_subscription s on s.id = c.subscription where s.name = ?1";
    let rows = sqlx::query_as::<_, (u16, i64, i64)>(select).bind(name).fetch_all(&d.pool).await;
    let row = |(partition, start, next): (u16, i64, i64)| CursorRow {
        partition,
        start: start.cast_unsigned(),
        next: next.cast_unsigned(),
    };
    rows.unwrap().into_iter().map(row).collect()
}

async fn marks(d: &Database, name: &str) -> Vec<(u16, u64)> {
    let select = "select p.partition, m.log_offset from consign_done m
        join consign_partition p on p.number = m.partition
        join consign_subscription s on s.id = m.subscription where s.name = ?1";
    let rows = sqlx::query_as::<_, (u16, i64)>(select).bind(name).fetch_all(&d.pool).await;
    rows.unwrap().into_iter().map(|(at, offset)| (at, offset.cast_unsigned())).collect()
}

async fn set_aside(d: &Database, table: &'static str, name: &str) -> Vec<MessageNumber> {
    let select = format!(
        "select payload from {table} t join consign_subscription s on s.id = t.subscription
         where s.name = ?1"
    );
    let rows = sqlx::query_scalar::<_, Vec<u8>>(sqlx::AssertSqlSafe(select)).bind(name);
    let rows = rows.fetch_all(&d.pool).await.unwrap();
    rows.iter().map(|payload| message(&task(payload))).collect()
}

async fn counts(d: &Database, name: &str) -> Counts {
    let select = "select sum(p.next_offset - c.started_offset), sum(c.applied), sum(c.dead),
            sum(c.waiting), sum(c.discarded)
        from consign_cursor c join consign_partition p on p.number = c.partition
        join consign_subscription s on s.id = c.subscription where s.name = ?1";
    let row = sqlx::query_as::<_, (i64, i64, i64, i64, i64)>(select).bind(name);
    let (accepted, applied, dead, waiting, discarded) = row.fetch_one(&d.pool).await.unwrap();
    Counts {
        accepted: accepted.cast_unsigned(),
        applied: applied.cast_unsigned(),
        dead: dead.cast_unsigned(),
        waiting: waiting.cast_unsigned(),
        discarded: discarded.cast_unsigned(),
    }
}

//! Queues on which processes of their own work, one way with `Tx` and one without.

use crate::child::{Child, Role, open};
use crate::database::Database;
use consign::sqlite::{Consign, Tx};
use consign::{HandlerResult, Message, Queue, Retry, State, queue};
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

const WORK: &str = "CONSIGN_TEST_WORK";
/// Calls of the handler without `Tx` at the same time.
pub(crate) const CONCURRENCY: usize = 16;
/// How long a call of it takes: it waits for somebody, as a mail does.
const CALL: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(kind = "task.given", topic = "tasks", key = key)]
pub(crate) struct Task {
    pub(crate) number: i64,
    pub(crate) key: i64,
}

/// What handlers write has no unique constraint, which would hide a second effect. The triggers
/// note each time a message is set aside, or tried again.
const TABLES: &str = "
    create table witnesses (n integer primary key, number integer not null, key integer not null,
        epoch integer not null, worker integer not null) strict;
    create table key_partitions (key integer primary key, partition integer not null) strict;
    create table shut_keys (key integer primary key) strict;
    create table set_aside (n integer primary key, subscription integer not null,
        attempt integer not null, suspect integer not null, error text) strict;
    create trigger set_aside_first after insert on consign_retry begin
        insert into set_aside (subscription, attempt, suspect, error)
        values (new.subscription, new.attempt, new.suspect, new.last_error); end;
    create trigger set_aside_again after update of attempt, suspect on consign_retry begin
        insert into set_aside (subscription, attempt, suspect, error)
        values (new.subscription, new.attempt, new.suspect, new.last_error); end;";
/// The epoch under which this effect commits, if it does.
const WITNESS: &str = "insert into witnesses (number, key, epoch, worker)
    select ?1, ?2, (select c.epoch from consign_cursor c
            join consign_subscription s on s.id = c.subscription
            join key_partitions k on k.partition = c.partition
        where s.name = 'witness' and k.key = ?2), ?3
    where not exists (select 1 from shut_keys where key = ?2)";
/// What is still to do: in the log, or set aside.
const LEFT: &str = "select (select coalesce(sum(p.next_offset - c.next_offset), 1)
        from consign_cursor c join consign_partition p on p.number = c.partition)
    + (select count(*) from consign_retry)";

/// Which queues a process works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queues {
    /// `witness`: with `Tx`, a row each.
    Witness,
    /// `note`: without, a line each in a file that is only appended to.
    Note,
    Both,
    /// What nobody should do: the line is written by a handler with `Tx`.
    NoteWithTx,
}

/// A process that works on queues.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Worker {
    pub(crate) queues: Queues,
    pub(crate) attempts: u32,
    /// The message that ends every process that handles it.
    pub(crate) killer: i64,
}

impl Worker {
    pub(crate) fn on(queues: Queues) -> Self {
        Self { queues, attempts: 10, killer: -1 }
    }

    pub(crate) fn command(self) -> std::process::Command {
        let mut command = Child::command(Role::WorksOnQueues);
        let Self { queues, attempts, killer } = self;
        command.env(WORK, format!("{queues:?} {attempts} {killer}"));
        command
    }

    pub(crate) fn start(self, d: &Database) -> Child {
        Child::run(&mut self.command(), d.folder.path())
    }

    fn of_environment() -> Self {
        let work = std::env::var(WORK).expect("set beside the role");
        let [queues, attempts, killer] = work.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{work} is no work");
        };
        let all = [Queues::Witness, Queues::Note, Queues::Both, Queues::NoteWithTx];
        let queues = all.into_iter().find(|one| format!("{one:?}") == queues);
        Self {
            queues: queues.expect("queues"),
            attempts: attempts.parse().unwrap(),
            killer: killer.parse().unwrap(),
        }
    }
}

/// What handlers need.
#[derive(Clone, Debug)]
struct Desk {
    notes: Arc<File>,
    killer: i64,
}

impl Desk {
    fn note(&self, task: &Task) {
        self.may_end(task);
        let line = format!("{} {} {}\n", std::process::id(), task.number, task.key);
        (&*self.notes).write_all(line.as_bytes()).unwrap();
    }

    fn may_end(&self, task: &Task) {
        if task.number == self.killer {
            std::process::abort();
        }
    }
}

/// Where notes are, which a power cut does not reach: they went to somebody else.
pub(crate) const NOTES: &str = "acknowledged";

async fn witness(task: Task, State(desk): State<Desk>, mut tx: Tx) -> HandlerResult {
    let insert = sqlx::query(WITNESS).bind(task.number).bind(task.key).bind(std::process::id());
    let inserted = insert.execute(&mut *tx).await?;
    desk.may_end(&task);
    if inserted.rows_affected() == 0 { Err("its key is shut")? } else { Ok(()) }
}

async fn note(task: Task, State(desk): State<Desk>) -> HandlerResult {
    desk.note(&task);
    tokio::time::sleep(CALL).await;
    Ok(())
}

async fn note_with_tx(task: Task, State(desk): State<Desk>, _: Tx) -> HandlerResult {
    desk.note(&task);
    Ok(())
}

/// The role [`Role::WorksOnQueues`]: until SIGTERM, which ends it in order.
pub(crate) async fn work(folder: &Path) {
    let worker = Worker::of_environment();
    let mut asked = signal(SignalKind::terminate()).unwrap();
    let path = folder.join(NOTES);
    let notes = OpenOptions::new().create(true).append(true).open(path).unwrap();
    let desk = Desk { notes: Arc::new(notes), killer: worker.killer };
    let workers = open(folder).await.workers().with_state(desk);
    let witness = options_of(worker, queue("witness", witness));
    let note = options_of(worker, queue("note", note));
    let with_tx = options_of(worker, queue("note", note_with_tx));
    let running = match worker.queues {
        Queues::Witness => workers.subscribe(witness).start().await,
        Queues::Note => workers.subscribe(note).start().await,
        Queues::Both => workers.subscribe(witness).subscribe(note).start().await,
        Queues::NoteWithTx => workers.subscribe(with_tx).start().await,
    };
    let running = running.unwrap();
    asked.recv().await;
    running.shutdown().await.unwrap();
}

fn options_of<W>(worker: Worker, queue: Queue<W>) -> Queue<W> {
    let retry = Retry::exponential(Duration::from_millis(5), Duration::from_millis(20));
    let retry = retry.max_attempts(worker.attempts);
    queue.from_start().concurrency(CONCURRENCY).retry(retry)
}

/// Adds the tables, and a first message of each key, so that its partition is known.
pub(crate) async fn prepare(pool: &SqlitePool, consign: &Consign, keys: i64) {
    sqlx::raw_sql(TABLES).execute(pool).await.unwrap();
    let first = (0..keys).map(|key| Task { number: key, key }).collect::<Vec<_>>();
    consign.publish_all(&first).await.unwrap();
    let insert = "insert into key_partitions
        select payload ->> 'key', position >> 44 from consign_log";
    sqlx::raw_sql(insert).execute(pool).await.unwrap();
}

pub(crate) async fn database(keys: i64) -> Database {
    let d = Database::new().await;
    prepare(&d.pool, &d.consign, keys).await;
    d
}

pub(crate) async fn left(d: &Database) -> i64 {
    d.number(LEFT).await
}

/// Waits until nothing is left to do.
pub(crate) async fn drained(d: &Database, within: Duration) {
    let until = Instant::now() + within;
    while left(d).await > 0 {
        assert!(Instant::now() < until, "after {within:?} {} are left to do", left(d).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Messages that were set aside with a later attempt than the first.
pub(crate) const ATTEMPTS: &str = "select count(*) from set_aside where attempt > 1";
/// Messages that were set aside since they may have killed a process.
pub(crate) const SUSPECTS: &str = "select count(*) from set_aside where suspect";

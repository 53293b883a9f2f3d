//! Every promise of drivers and ledgers: SQLite keeps all, and a ledger that breaks one is found.

use consign_core::{Draft, Outbox, Result, Topic};
use consign_sql::{Log, SqlLedger, WorkerTransaction};
use consign_test::conformance::{self, Capabilities, Subject};
use consign_test::simulation::{Mutant, Simulated};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};

/// A file in a directory of its own; each process has connections of its own.
struct Sqlite {
    pool: SqlitePool,
    log: Log,
    _folder: tempfile::TempDir,
}

impl Sqlite {
    async fn fresh() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("app.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        sqlx::raw_sql("create table effects (number integer)").execute(&pool).await.unwrap();
        let log = Log::open(&pool, &[]).await.unwrap();
        Self { pool, log, _folder: folder }
    }
}

impl Subject for Sqlite {
    type Ledger = SqlLedger;
    type Driver = Log;

    fn capabilities(&self) -> Capabilities {
        Capabilities { rolls_back: true, replays: true, schedules: true }
    }

    fn topic(&self) -> Topic {
        Topic::new("conformance").unwrap()
    }

    fn partitions(&self) -> u16 {
        8
    }

    async fn process(&self) -> (SqlLedger, Log) {
        let log = Log::open(&self.pool, &[]).await.unwrap();
        (SqlLedger::new(log.clone()), log)
    }

    /// Its lock is free when it is gone.
    async fn kill(&self, ledger: SqlLedger) {
        drop(ledger);
    }

    async fn publish(&self, drafts: Vec<Draft>, stands: bool) -> Result {
        let mut tx = self.log.begin().await?;
        tx.put(drafts).await?;
        if stands { tx.commit().await.map(drop) } else { tx.rollback().await }
    }

    async fn affect(&self, tx: &mut WorkerTransaction, number: u64) -> Result {
        let insert = sqlx::query("insert into effects values (?1)").bind(number.cast_signed());
        insert.execute(&mut **tx).await.unwrap();
        Ok(())
    }

    async fn effects(&self) -> Vec<u64> {
        let all = sqlx::query_scalar::<_, i64>("select number from effects");
        all.fetch_all(&self.pool).await.unwrap().into_iter().map(i64::cast_unsigned).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_every_promise() {
    let report = conformance::try_all(Sqlite::fresh).await;
    println!("{report}");
    report.assert_kept();
    assert_eq!(report.kept, conformance::names::<Sqlite>(), "it leaves none out");
}

/// How large its pages are, and how a death is known, is drawn.
const SEEDS: std::ops::Range<u64> = 0..12;

/// The clock of a simulated ledger is held still, and goes on when all wait.
fn in_no_time<T>(what: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(what)
}

/// What the simulation rests on keeps what SQLite keeps, as far as it can do it.
#[test]
fn the_simulated_ledger_keeps_every_promise_it_makes() {
    for seed in SEEDS {
        let report = in_no_time(conformance::try_all(async || Simulated::new(seed, None)));
        assert!(report.broken.is_empty(), "seed {seed}: {report}");
        assert_eq!(report.left_out.len(), 3, "{report}");
    }
}

/// Each breaks the promise that is named beside it.
const BREAKS: [(Mutant, &str); 23] = [
    (Mutant::PageSkips, "what was accepted is read once and as it was published"),
    (Mutant::PageRepeats, "what was accepted is read once and as it was published"),
    (Mutant::BeginsLate, "cursors begin where they were placed, else at the start"),
    (Mutant::EffectsOutside, "an effect and its cursor commit together or not at all"),
    (Mutant::EffectsForgotten, "an effect and its cursor commit together or not at all"),
    (Mutant::CommitLies, "an effect and its cursor commit together or not at all"),
    (Mutant::NoPlaceCheck, "a cursor never moves twice from one place"),
    (Mutant::TakeKeepsEpoch, "a partition has one owner and its epoch grows"),
    (Mutant::ReleaseMoves, "who starts again goes on where he was"),
    (Mutant::SettledOutside, "an effect and its settlement commit together, once"),
    (Mutant::MarksNotWritten, "what is finished above the cursor is known to the next owner"),
    (Mutant::MarksGoEarly, "what is finished above the cursor is known to the next owner"),
    (Mutant::TakeOverIgnoresMarks, "what is finished above the cursor is known to the next owner"),
    (Mutant::RetryStays, "a message that failed comes again when it is due until it is applied"),
    (
        Mutant::RetryNotWritten,
        "a message that failed comes again when it is due until it is applied",
    ),
    (Mutant::NeverDue, "a message that failed comes again when it is due until it is applied"),
    (Mutant::TakeOverIgnoresParked, "a key waits behind its failed message and drains in order"),
    (Mutant::ParkedNotWritten, "a key waits behind its failed message and drains in order"),
    (Mutant::KeyNotParked, "a key waits behind its failed message and drains in order"),
    (Mutant::UnparkedEarly, "a key waits behind its failed message and drains in order"),
    (Mutant::ChainStops, "a key waits behind its failed message and drains in order"),
    (Mutant::ChainReversed, "a key waits behind its failed message and drains in order"),
    (Mutant::WritesDenied, "whether a handler has written is known"),
];

#[test]
fn a_ledger_that_breaks_a_promise_fails_that_one() {
    for (mutant, promise) in BREAKS {
        let breaks = |seed| {
            let broken = Simulated::new(seed, Some(mutant));
            let kept = in_no_time(conformance::try_one(promise, &broken));
            kept.expect("a promise").is_err()
        };
        assert!(SEEDS.into_iter().any(breaks), "{mutant:?} is not found by {promise:?}");
    }
}

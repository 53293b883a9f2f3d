//! A worker process: one `Sum`, until its standard input closes.

use crate::messages::Written;
use crate::part::{Part, Process};
use crate::shim::Shim;
use crate::{Result, database, machine};
use consign::{Sum, stream};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;

const STARTED_WITHIN: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(10);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Worker {
    pub(crate) database: PathBuf,
    /// Names its subscription and its table.
    pub(crate) number: usize,
}

impl Worker {
    pub(crate) async fn run(self) -> Result<f64> {
        let consign = database::open(&self.database).await?;
        // `Sum` wants names that live as long as the program, as names in programs do.
        let table: &'static str = table(self.number).leak();
        let counts = Sum::into(table, "author_id", "articles")
            .by(|written: &Written| (written.author_id, 1));
        let workers = consign.workers().subscribe(stream(&name(self.number), counts));
        let running = workers.start().await?;
        let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
        running.shutdown().await?;
        machine::memory_peak()
    }
}

fn name(number: usize) -> String {
    format!("sum-{number}")
}

fn table(number: usize) -> String {
    format!("sum_{number}")
}

/// Worker processes that drain a backlog, each for a subscription of its own.
pub(crate) struct Crew {
    processes: Vec<Process>,
    db: Connection,
}

impl Crew {
    /// Starts them; all have applied something when it returns.
    pub(crate) fn start(database: &Path, workers: usize, shim: Option<&Shim>) -> Result<Self> {
        let db = database::by_hand(database, "normal")?;
        for table in (0..workers).map(table) {
            db.execute_batch(&format!(
                "create table {table} (author_id integer primary key, articles integer not null)"
            ))?;
        }
        let start = |number| {
            let database = database.to_owned();
            Process::start(&Part::Worker(Worker { database, number }), shim)
        };
        let processes = (0..workers).map(start).collect::<Result<Vec<_>>>()?;
        let crew = Self { processes, db };
        let deadline = Instant::now() + STARTED_WITHIN;
        while crew.started()? < workers {
            if Instant::now() > deadline {
                return Err("the workers do not start".into());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(crew)
    }

    fn started(&self) -> Result<usize> {
        let select = "select count(distinct subscription) from consign_cursor where passed > 0";
        Ok(database::number(&self.db, select)? as usize)
    }

    /// Effects of all of them so far.
    pub(crate) fn effects(&self) -> Result<i64> {
        let select = "select sum(passed) from consign_cursor join consign_subscription
            on subscription = id where name like 'sum-%'";
        database::number(&self.db, select)
    }

    /// Ends them, and compares what they counted with what they passed. Answers whether each still
    /// had something to do.
    pub(crate) fn end(self) -> Result<bool> {
        let workers = self.processes.len();
        for process in self.processes {
            process.answer::<f64>()?;
        }
        for number in 0..workers {
            let counted = format!("select sum(articles) from {}", table(number));
            let passed = format!(
                "select sum(passed) from consign_cursor join consign_subscription
                 on subscription = id where name = '{}'",
                name(number)
            );
            let counted = database::number(&self.db, &counted)?;
            database::verify("effects of a worker", counted, database::number(&self.db, &passed)?)?;
        }
        let least = "select min(left) from (
            select sum(consign_partition.next_offset - consign_cursor.next_offset) as left
            from consign_cursor
            join consign_subscription on consign_subscription.id = subscription
            join consign_partition on number = consign_cursor.partition
            where name like 'sum-%' group by subscription)";
        Ok(workers == 0 || database::number(&self.db, least)? > 0)
    }
}

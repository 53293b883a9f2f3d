//! Many callers of `consign.publish`, beside one writer by hand that commits all that waits.

use crate::Result;
use crate::backlog::NOTHING;
use crate::bench::Bench;
use crate::database::{self, number, verify};
use crate::figures::shared_commit::publish;
use crate::messages::Written;
use crate::part::{Part, Process};
use crate::record::{Goal, Record};
use consign::sqlite::Consign;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

const CALLERS: u64 = 256;
const PAYLOAD: usize = 1_024;

pub(crate) fn measure(bench: &Bench, run: u32, record: &mut Record) -> Result {
    let seconds = bench.seconds / 3.0;
    let consign = || {
        let database = bench.with_backlog("publish.db", NOTHING)?;
        let part = Part::Publishers(Publishers { database, seconds });
        Process::start(&part, None)?.answer::<Published>()
    };
    let by_hand = || {
        let database = bench.with_backlog("publish.db", NOTHING)?;
        let part = Part::PublishersByHand(PublishersByHand { database, seconds });
        Process::start(&part, None)?.answer::<Published>()
    };
    let (ours, theirs) = if run.is_multiple_of(2) {
        let theirs = by_hand()?;
        (consign()?, theirs)
    } else {
        (consign()?, by_hand()?)
    };
    record.add("256 callers, 1 KiB", "/s", Goal::None, ours.rate);
    record.add("by hand, one writer for 256 callers", "/s", Goal::None, theirs.rate);
    record.add("its messages a commit", "", Goal::None, theirs.group);
    record.add("÷ by hand", "", Goal::AtLeast(0.5), ours.rate / theirs.rate);
    Ok(())
}

/// Messages a second, and of a commit where that is known.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Published {
    rate: f64,
    group: f64,
}

fn verify_published(database: &Path, published: u64) -> Result {
    let log = "select count(*) from consign_log where kind = 'article.written'";
    let found = number(&database::by_hand(database, "normal")?, log)?;
    verify("messages published", found, published as i64)
}

/// Through consign.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Publishers {
    database: PathBuf,
    seconds: f64,
}

impl Publishers {
    pub(crate) async fn run(self) -> Result<Published> {
        let consign = database::open(&self.database).await?;
        let started = Instant::now();
        let until = started + Duration::from_secs_f64(self.seconds);
        let callers: Vec<_> =
            (0..CALLERS).map(|caller| tokio::spawn(call(consign.clone(), caller, until))).collect();
        let mut published = 0;
        for caller in callers {
            published += caller.await??;
        }
        let took = started.elapsed().as_secs_f64();
        verify_published(&self.database, published)?;
        Ok(Published { rate: published as f64 / took, group: 0.0 })
    }
}

async fn call(consign: Consign, caller: u64, until: Instant) -> Result<u64> {
    let mut published = 0;
    while Instant::now() < until {
        consign.publish(&Written::of_bytes(caller + published, PAYLOAD)).await?;
        published += 1;
    }
    Ok(published)
}

/// By hand.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PublishersByHand {
    database: PathBuf,
    seconds: f64,
}

/// A message and whom to tell that it is on disk.
type Wanted = (Written, oneshot::Sender<()>);

impl PublishersByHand {
    pub(crate) async fn run(self) -> Result<Published> {
        let db = database::by_hand(&self.database, "full")?;
        let (to, wanted) = mpsc::channel(CALLERS as usize);
        let writer = std::thread::spawn(move || write(&db, wanted));
        let started = Instant::now();
        let until = started + Duration::from_secs_f64(self.seconds);
        let callers: Vec<_> =
            (0..CALLERS).map(|caller| tokio::spawn(ask(to.clone(), caller, until))).collect();
        drop(to);
        let mut published = 0;
        for caller in callers {
            published += caller.await??;
        }
        let took = started.elapsed().as_secs_f64();
        let commits = writer.join().map_err(|_| "the writer panicked")??;
        verify_published(&self.database, published)?;
        let group = published as f64 / commits.max(1) as f64;
        Ok(Published { rate: published as f64 / took, group })
    }
}

async fn ask(to: mpsc::Sender<Wanted>, caller: u64, until: Instant) -> Result<u64> {
    let mut published = 0;
    while Instant::now() < until {
        let (done, answer) = oneshot::channel();
        to.send((Written::of_bytes(caller + published, PAYLOAD), done)).await?;
        answer.await?;
        published += 1;
    }
    Ok(published)
}

fn write(db: &Connection, mut wanted: mpsc::Receiver<Wanted>) -> Result<u64> {
    let (mut group, mut commits) = (Vec::new(), 0);
    while wanted.blocking_recv_many(&mut group, CALLERS as usize) > 0 {
        db.prepare_cached("begin immediate")?.execute([])?;
        for (message, _) in &group {
            let payload = serde_json::to_vec(message)?;
            publish(db, message.author_id % 8, message.author_id, &payload)?;
        }
        db.prepare_cached("commit")?.execute([])?;
        commits += 1;
        for (_, done) in group.drain(..) {
            done.send(()).map_err(|()| "a caller is gone")?;
        }
    }
    Ok(commits)
}

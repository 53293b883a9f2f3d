//! The workers' side of the gate: one turn after the other, in order, however many workers.
//!
//! Workers stand in the kernel's queue for the file's lock, without polls. The file holds two
//! numbers: the turn's, so that a waiter can tell a long queue from a stopped holder, and how many
//! turns ago somebody other than a worker wrote: while that is recent, every turn ends with a rest.

mod queue;

use crate::sqlite::gate::open;
use consign_core::Result;
use queue::{Queue, Standing};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A worker with the turn is put off by waiting requests for this long at most.
const AGE: Duration = Duration::from_millis(25);
/// A turn that shows nothing new for this long is ignored: its holder was stopped.
const STUCK: Duration = Duration::from_millis(500);
/// Whoever was found stopped is not waited for again, only looked at.
const STILL_STUCK: Duration = Duration::from_millis(1);
/// Somebody holds SQLite's lock and was stopped: the turn is given away.
const TURN_MAX: Duration = Duration::from_secs(5);
/// For so many turns after the last request workers rest.
const RECENT_TURNS: u64 = 50;

/// All turns of a process.
#[derive(Debug)]
pub(crate) struct Turns {
    turn: Arc<File>,
    wait: Arc<File>,
    queue: Queue,
    mine: u64,
    /// The turn whose holder was found stopped.
    stuck: Option<u64>,
}

/// Held until dropped, or not held at all when the holder before was stopped.
#[derive(Debug)]
pub(crate) struct Turn {
    held: Option<Arc<File>>,
    wait: Arc<File>,
    since: Instant,
    number: u64,
    quiet: u64,
    /// No other worker had a turn since our last one.
    pub(crate) alone: bool,
}

impl Turns {
    pub(crate) fn open(database: &Path) -> Result<Self> {
        let (turn, wait) = (Arc::new(open(database, "-turn")?), Arc::new(open(database, "-wait")?));
        let queue = Queue::new(Arc::clone(&turn))?;
        Ok(Self { turn, wait, queue, mine: 0, stuck: None })
    }

    /// Waits for the turn: in order, however many workers there are.
    ///
    /// # Cancel safety
    /// Dropped, it stands in the queue no more, and a lock that has just come goes back.
    pub(crate) async fn take(&mut self) -> Turn {
        let mut before = self.look()[0];
        let mut within = if self.stuck == Some(before) { STILL_STUCK } else { STUCK };
        let mut standing = Standing::begin(&mut self.queue, &self.turn);
        let held = loop {
            let held = standing.reached(within).await;
            let now = look(&self.turn)[0];
            if held || now == before {
                break held || standing.leave();
            }
            (before, within) = (now, STUCK);
        };
        drop(standing);
        self.stuck = (!held).then_some(before);
        let [now, quiet] = self.look();
        self.begin(held, now, quiet)
    }

    fn begin(&mut self, held: bool, now: u64, quiet: u64) -> Turn {
        let alone = held && now == self.mine;
        self.mine = now + 1;
        let turn = Turn {
            held: held.then(|| Arc::clone(&self.turn)),
            wait: Arc::clone(&self.wait),
            since: Instant::now(),
            number: now + 1,
            // Where nobody ever had a turn, no request was seen either.
            quiet: if now == 0 { RECENT_TURNS } else { quiet.saturating_add(1) },
            alone,
        };
        turn.write();
        turn
    }

    fn look(&self) -> [u64; 2] {
        look(&self.turn)
    }
}

/// The number of the turn, and how many turns ago somebody other than a worker wrote.
fn look(turn: &File) -> [u64; 2] {
    let mut bytes = [0; 16];
    let _ = turn.read_at(&mut bytes, 0);
    let (numbers, _) = bytes.as_chunks::<8>();
    [u64::from_le_bytes(numbers[0]), u64::from_le_bytes(numbers[1])]
}

impl Turn {
    fn write(&self) {
        if let Some(file) = &self.held {
            let numbers = [self.number, self.quiet].map(u64::to_le_bytes);
            let _ = file.write_all_at(numbers.as_flattened(), 0);
        }
    }

    /// Notes that somebody other than a worker writes, or waits for it.
    pub(crate) fn others(&mut self) {
        if std::mem::take(&mut self.quiet) != 0 {
            self.write();
        }
    }

    /// Notes whether a request waits for the lock.
    pub(crate) fn note_waiting(&mut self) {
        if self.somebody_waits() {
            self.others();
        }
    }

    pub(crate) fn others_recently(&self) -> bool {
        self.held.is_none() || self.quiet < RECENT_TURNS
    }

    fn somebody_waits(&self) -> bool {
        self.wait.try_lock().map(|()| self.wait.unlock()).is_err()
    }

    /// To be asked before each try of `BEGIN IMMEDIATE`, which a worker makes without a busy handler.
    pub(crate) fn may_begin(&self) -> bool {
        !self.somebody_waits() || self.since.elapsed() > AGE
    }

    pub(crate) fn is_too_long(&self) -> bool {
        self.since.elapsed() > TURN_MAX
    }
}

impl Turn {
    /// The next one's turn.
    pub(crate) fn end(&mut self) {
        if let Some(file) = self.held.take() {
            let _ = file.unlock();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.end();
    }
}

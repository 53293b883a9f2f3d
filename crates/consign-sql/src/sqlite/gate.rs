//! Requests first: how processes share SQLite's one write lock, with two lock files beside the
//! database.
//!
//! `-wait`: a process holds a shared lock on it while one of its requests waits for `BEGIN
//! IMMEDIATE`. A worker begins only while nobody does, or when it has been put off for [`AGE`].
//! `-turn`: the worker whose turn it is, from before `BEGIN` until after its rest. Workers stand in
//! the kernel's queue for it (no polls, in order, however many). The file holds two numbers: the
//! turn's, so that a waiter can tell a long queue from a stopped holder, and how many turns ago
//! somebody other than a worker wrote: while that is recent, every turn ends with a rest.
//!
//! The gate is advice: it decides who waits, never what is correct. Every wait is bounded, and the
//! kernel frees the locks of a dead process.

#![expect(unsafe_code, reason = "SQLite's busy handler is a C function")]

use crate::error;
use consign_core::Result;
use libsqlite3_sys as ffi;
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::os::raw::{c_int, c_void};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc as threads};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often SQLite's lock is tried (a timer adds about 55 µs).
pub(crate) const POLL: Duration = Duration::from_micros(100);
/// How long a request waits for the line and the lock together, at most.
pub(crate) const REQUEST_WAIT_MAX: Duration = Duration::from_secs(5);
/// A wait that lasts longer than this is tried more rarely.
const LONG_WAIT: Duration = Duration::from_millis(100);
const LONG_POLL: Duration = Duration::from_millis(1);
/// A worker with the turn is put off by waiting requests for this long at most.
const AGE: Duration = Duration::from_millis(25);
/// A turn that shows nothing new for this long is ignored: its holder was stopped.
const STUCK: Duration = Duration::from_millis(500);
/// Somebody holds SQLite's lock and was stopped: the turn is given away.
const TURN_MAX: Duration = Duration::from_secs(5);
/// For so many turns after the last request workers rest.
const RECENT_TURNS: u64 = 50;
/// Tries to show that one waits: a worker that looks holds the file for less than a microsecond.
const SHOW_TRIES: usize = 3;

fn open(database: &Path, tail: &str) -> Result<File> {
    let path = beside(database, tail);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    #[expect(clippy::disallowed_methods, reason = "a lock file, never the database")]
    options.open(&path).map_err(|source| error::of_io(&format!("open {}", path.display()), source))
}

/// The path of a file of ours beside the database.
pub(crate) fn beside(database: &Path, tail: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(tail);
    path.into()
}

/// The requests' side of the gate, one a process.
#[derive(Debug)]
pub(crate) struct Waiting {
    file: File,
    count: Mutex<usize>,
}

/// Shown to the workers until dropped.
#[derive(Debug)]
pub(crate) struct Shown(Arc<Waiting>);

impl Waiting {
    pub(crate) fn open(database: &Path) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { file: open(database, "-wait")?, count: Mutex::new(0) }))
    }

    /// From before the process's own line until `BEGIN IMMEDIATE` has returned.
    pub(crate) fn show(self: &Arc<Self>) -> Shown {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if *count == 0 {
            // Not shown after all tries: the worker's rest is there all the same.
            let _shown = (0..SHOW_TRIES).any(|_| {
                let shown = self.file.try_lock_shared().is_ok();
                if !shown {
                    thread::yield_now();
                }
                shown
            });
        }
        *count += 1;
        Shown(Arc::clone(self))
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let mut count = self.0.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        if *count == 0 {
            let _ = self.0.file.unlock();
        }
    }
}

/// The workers' side of the gate, one a process.
#[derive(Debug)]
pub(crate) struct Turns {
    turn: Arc<File>,
    wait: Arc<File>,
    ask: threads::Sender<()>,
    got: mpsc::Receiver<()>,
    asked: bool,
    mine: u64,
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
        let (ask, asked) = threads::channel();
        let (to, got) = mpsc::channel(1);
        let file = Arc::clone(&turn);
        let stand = move || {
            while asked.recv().is_ok() && file.lock().is_ok() && to.blocking_send(()).is_ok() {}
        };
        // It blocks in the kernel's queue, so that `take` can lose its patience.
        let spawned = thread::Builder::new().name("consign-turn".into()).spawn(stand);
        spawned.map_err(|source| error::of_io("start the thread that waits for a turn", source))?;
        Ok(Self { turn, wait, ask, got, asked: false, mine: 0 })
    }

    /// Waits for the turn: in order, however many workers there are.
    pub(crate) async fn take(&mut self) -> Turn {
        if !std::mem::replace(&mut self.asked, true) {
            let _ = self.ask.send(());
        }
        let mut before = self.look()[0];
        loop {
            let held = matches!(tokio::time::timeout(STUCK, self.got.recv()).await, Ok(Some(())));
            let [now, quiet] = self.look();
            if held || now == before {
                self.asked = !held;
                return self.begin(held, now, quiet);
            }
            before = now;
        }
    }

    fn begin(&mut self, held: bool, now: u64, quiet: u64) -> Turn {
        let alone = held && now == self.mine;
        self.mine = now + 1;
        let turn = Turn {
            held: held.then(|| Arc::clone(&self.turn)),
            wait: Arc::clone(&self.wait),
            since: Instant::now(),
            number: now + 1,
            quiet: quiet.saturating_add(1),
            alone,
        };
        turn.write();
        turn
    }

    /// The number of the turn, and how many turns ago somebody other than a worker wrote.
    fn look(&self) -> [u64; 2] {
        let mut bytes = [0; 16];
        let _ = self.turn.read_at(&mut bytes, 0);
        let (numbers, _) = bytes.as_chunks::<8>();
        [u64::from_le_bytes(numbers[0]), u64::from_le_bytes(numbers[1])]
    }
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

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(file) = self.held.take() {
            let _ = file.unlock();
        }
    }
}

/// Who waits when a connection meets the write lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Busy {
    /// SQLite itself, in fine and even steps: the same limit as a `busy_timeout`, without its ever
    /// longer sleeps, which give the lock to whoever has just let it go.
    Waits,
    /// Nobody: the caller asks the gate before it tries again.
    Fails,
}

/// Replaces `busy_timeout` on a connection; a later `PRAGMA busy_timeout` undoes it.
pub(crate) fn install_busy_handler(handle: &mut sqlx::sqlite::LockedSqliteHandle<'_>, busy: Busy) {
    let db = handle.as_raw_handle().as_ptr();
    match busy {
        // SAFETY: the guard keeps other threads away from the open connection; the handler has no
        // argument, so nothing has to outlive the connection.
        Busy::Waits => unsafe { ffi::sqlite3_busy_handler(db, Some(wait), std::ptr::null_mut()) },
        // SAFETY: as above.
        Busy::Fails => unsafe { ffi::sqlite3_busy_handler(db, None, std::ptr::null_mut()) },
    };
}

extern "C" fn wait(_: *mut c_void, count: c_int) -> c_int {
    // One connection's handler always runs on the thread that uses the connection.
    thread_local!(static SINCE: Cell<Option<Instant>> = const { Cell::new(None) });
    let now = Instant::now();
    if count == 0 {
        SINCE.set(Some(now));
    }
    let waited = now - SINCE.get().unwrap_or(now);
    if waited > REQUEST_WAIT_MAX {
        return 0;
    }
    thread::sleep(if waited < LONG_WAIT { POLL } else { LONG_POLL });
    1
}

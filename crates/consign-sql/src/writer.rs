//! The workers' side of the write lock: one connection a process, one turn after the other.

mod open;
mod publishing;

use crate::at_commit::{AtCommit, CommitPoint, Side};
use crate::connection::{Connections, Role, WriteConnection};
use crate::error;
use crate::handle::Log;
use crate::sqlite::checkpoint::{Checkpoints, Pin};
use crate::sqlite::gate::beside;
use crate::sqlite::pace::{Costs, Pace};
use crate::sqlite::thread::{Cut, in_one_hop};
use crate::sqlite::turns::{Turn, Turns};
use consign_core::{BoxFuture, Draft, Error, MessageId, Outbox, Purpose, Result, SubscriptionId};
use open::Open;
use publishing::{Publishers, Publishing};
use sqlx::SqliteConnection;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Between two tries for SQLite's lock: a timer of the runtime counts in whole milliseconds, and
/// one that is finer would burn a processor.
const TRY_EVERY: Duration = Duration::from_millis(1);
/// How long a worker waits for the other workers of its own process, at most.
const SLOT_WAIT_MAX: Duration = Duration::from_secs(10);

/// All workers of a process.
#[derive(Debug)]
pub(crate) struct Writers {
    slot: Arc<Mutex<Slot>>,
    paces: Arc<StdMutex<HashMap<SubscriptionId, Pace>>>,
    publishers: Publishers,
    at_commit: Option<Arc<dyn AtCommit>>,
    pin: Pin,
}

#[derive(Debug)]
struct Slot {
    connections: Connections,
    path: PathBuf,
    pin: Pin,
    writer: Option<Writer>,
}

#[derive(Debug)]
struct Writer {
    connection: WriteConnection,
    /// A commit is on disk when it has returned.
    is_durable: bool,
    cut: Cut,
    turns: Turns,
    checkpoints: Checkpoints,
    wal: File,
    costs: Costs,
}

impl Writers {
    pub(crate) fn new(
        connections: Connections,
        path: PathBuf,
        at_commit: Option<Arc<dyn AtCommit>>,
    ) -> Self {
        let pin = Pin::default();
        let slot = Slot { connections, path, pin: pin.clone(), writer: None };
        let (slot, publishers) = (Arc::new(Mutex::new(slot)), Publishers::default());
        Self { slot, paces: Arc::default(), publishers, at_commit, pin }
    }

    /// Whether a reader pins the WAL, as the last checkpoint of this process saw it.
    pub(crate) fn pin(&self) -> &Pin {
        &self.pin
    }

    /// Messages that the next transaction of a subscription should take.
    pub(crate) fn messages(&self, of: SubscriptionId) -> usize {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        paces.entry(of).or_default().messages()
    }

    /// Waits until what follows the last transaction is over.
    pub(crate) async fn rested(&self) {
        drop(self.slot.lock().await);
    }

    /// Begins for an effect whose cursor lies in this same file: a power cut takes both back.
    pub(crate) async fn begin(&self) -> Result<WorkerTransaction> {
        self.begin_with(false).await
    }

    /// Begins for a queue: durable where something outside of the file has happened, or will.
    pub(crate) async fn begin_for(
        &self,
        log: &Log,
        of: SubscriptionId,
        purpose: Purpose,
    ) -> Result<WorkerTransaction> {
        let is_durable = purpose == Purpose::Marks || self.publishers.contains(of);
        let mut tx = self.begin_with(is_durable).await?;
        if purpose == Purpose::Handlers {
            let publishers = self.publishers.clone();
            tx.publishing = Some(Publishing::new(log.clone(), of, publishers, is_durable));
        }
        Ok(tx)
    }

    /// Begins for what others may see outside of the file: on disk when it has committed.
    pub(crate) async fn begin_durable(&self) -> Result<WorkerTransaction> {
        self.begin_with(true).await
    }

    /// Waits for the turn, then for the write lock.
    async fn begin_with(&self, is_durable: bool) -> Result<WorkerTransaction> {
        let slot = Arc::clone(&self.slot).lock_owned();
        let mut slot = tokio::time::timeout(SLOT_WAIT_MAX, slot).await.map_err(|_| kept_open())?;
        let turn = slot.begin(is_durable).await?;
        let open = Open { turn, slot, begun: Instant::now(), unended: true };
        Ok(WorkerTransaction {
            tx: Tx::Writes(Some(open)),
            paces: Arc::clone(&self.paces),
            fold: None,
            publishing: None,
            at_commit: self.at_commit.clone(),
        })
    }
}

fn kept_open() -> Error {
    let message = format!(
        "another projection of this process has had its transaction open for more than \
         {SLOT_WAIT_MAX:?}, so no other can begin one: either its calls take that long, or it has \
         kept its `Tx` after it returned; finish with `tx` before returning"
    );
    Error::new("tx-kept-open", message)
}

impl Slot {
    async fn writer(&mut self) -> Result<&mut Writer> {
        if self.writer.is_none() {
            let mut connection = self.connections.open_writer(Role::Effects).await?;
            let cut = Cut::install(&mut connection.connection).await?;
            let checkpoints = self.connections.open(Role::Checkpoints).await?;
            self.writer = Some(Writer {
                connection,
                is_durable: false,
                cut,
                turns: Turns::open(&self.path)?,
                checkpoints: Checkpoints::new(checkpoints, self.pin.clone()),
                wal: open_wal(&self.path)?,
                costs: Costs::default(),
            });
        }
        Ok(self.writer.as_mut().expect("opened above"))
    }

    async fn begin(&mut self, is_durable: bool) -> Result<Turn> {
        let writer = self.writer().await?;
        writer.make_durable(is_durable).await?;
        let mut turn = writer.turns.take().await;
        writer.cut.reset();
        let begun = begin(&mut writer.connection, &mut turn).await;
        if begun.as_ref().is_err_and(|error| !error.is_busy()) {
            self.writer = None;
        }
        begun.map(|()| turn)
    }
}

impl Writer {
    /// SQLite changes it between transactions only.
    async fn make_durable(&mut self, is_durable: bool) -> Result {
        if self.is_durable == is_durable {
            return Ok(());
        }
        let pragma =
            if is_durable { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
        let connection = &mut self.connection.connection;
        in_one_hop(connection, "choose how durable a commit is", |db| db.execute_batch(pragma))
            .await?;
        self.is_durable = is_durable;
        Ok(())
    }
}

/// The WAL, to be synced outside the lock. SQLite locks the database and its -shm, never this file,
/// so that closing it drops nothing.
fn open_wal(path: &Path) -> Result<File> {
    let wal = beside(path, "-wal");
    #[expect(clippy::disallowed_methods, reason = "synced, never read; see above")]
    let opened = OpenOptions::new().append(true).open(&wal);
    opened.map_err(|source| error::of_io("open the WAL to sync it", source))
}

/// Tries for SQLite's lock while no request waits for it.
async fn begin(connection: &mut WriteConnection, turn: &mut Turn) -> Result {
    loop {
        if turn.may_begin() {
            match connection.begin().await {
                Ok(()) => return Ok(()),
                Err(source) if error::is_busy(&source) && !turn.is_too_long() => {}
                Err(source) => return Err(error::of_sqlx("begin", source)),
            }
        }
        turn.others();
        tokio::time::sleep(TRY_EVERY).await;
    }
}

/// A transaction of a worker: an effect and the cursor's move, or a look at a snapshot.
#[derive(Debug)]
pub struct WorkerTransaction {
    tx: Tx,
    paces: Arc<StdMutex<HashMap<SubscriptionId, Pace>>>,
    /// Whose messages it takes, and how many.
    fold: Option<(SubscriptionId, usize)>,
    /// A handler's may publish.
    publishing: Option<Publishing>,
    at_commit: Option<Arc<dyn AtCommit>>,
}

#[derive(Debug)]
enum Tx {
    Writes(Option<Open>),
    Reads(SqliteConnection),
}

impl WorkerTransaction {
    pub(crate) fn reads(connection: SqliteConnection) -> Self {
        let tx = Tx::Reads(connection);
        Self { tx, paces: Arc::default(), fold: None, publishing: None, at_commit: None }
    }

    /// Says what the transaction takes, so that the next one's size can be learnt.
    pub(crate) fn takes(&mut self, of: SubscriptionId, messages: usize) {
        self.fold = Some((of, messages));
    }

    /// A handler wanted to publish, and the transaction is not durable.
    pub(crate) fn is_too_weak(&self) -> bool {
        self.publishing.as_ref().is_some_and(Publishing::is_too_weak)
    }

    /// From here on [`Self::has_written`] tells what has been.
    pub(crate) fn call_begins(&mut self) {
        if let Tx::Writes(Some(open)) = &mut self.tx {
            open.writer().connection.forget_written();
        }
    }

    /// Asks whether a statement that may write has run since [`Self::call_begins`].
    pub(crate) async fn has_written(&mut self) -> bool {
        match &mut self.tx {
            Tx::Writes(Some(open)) => open.writer().connection.has_written().await,
            Tx::Writes(None) | Tx::Reads(_) => false,
        }
    }

    /// What was written until now stays when [`Self::take_back`] comes.
    pub(crate) async fn save(&mut self) -> Result {
        match &mut self.tx {
            Tx::Writes(Some(open)) => open.writer().connection.save().await,
            Tx::Writes(None) | Tx::Reads(_) => Err(not_writing()),
        }
    }

    /// Takes back what was written since [`Self::save`]; an error: all is to be rolled back.
    pub(crate) async fn take_back(&mut self) -> Result {
        let Tx::Writes(Some(open)) = &mut self.tx else { return Err(not_writing()) };
        let writer = open.writer();
        // A statement that still runs, since its caller has lost his patience, ends before. Was it
        // one that writes, SQLite rolls all back, and says so.
        writer.cut.cut();
        let taken_back = writer.connection.take_back().await;
        writer.cut.reset();
        taken_back
    }

    /// Commits; what follows in the turn goes on without the caller.
    pub(crate) async fn commit(mut self) -> Result {
        self.reached(Side::Before).await;
        let Tx::Writes(open) = &mut self.tx else { return Ok(()) };
        if let Some(publishing) = &mut self.publishing {
            let open = open.as_mut().expect("it ends once");
            publishing.settle(&mut open.writer().connection).await?;
        }
        let mut open = open.take().expect("it ends once");
        let started = Instant::now();
        let committed = open.writer().connection.commit().await;
        if let Err(error) = committed {
            open.replace().await;
            return Err(error);
        }
        open.unended = false;
        let (held, commit) = (open.begun.elapsed(), started.elapsed());
        self.learn(&mut open, held, commit);
        self.publishing.take().into_iter().for_each(Publishing::committed);
        tokio::spawn(open.rest(held));
        self.reached(Side::After).await;
        Ok(())
    }

    /// Asks a test whether it goes on.
    async fn reached(&self, side: Side) {
        if let (Some(at_commit), Tx::Writes(_)) = (&self.at_commit, &self.tx) {
            let messages = self.fold.map(|(_, messages)| messages);
            at_commit.reached(CommitPoint { side, messages }).await;
        }
    }

    pub(crate) async fn rollback(mut self) {
        if let Tx::Writes(open) = &mut self.tx
            && let Some(open) = open.take()
        {
            open.rollback().await;
        }
    }

    fn learn(&self, open: &mut Open, held: Duration, commit: Duration) {
        open.turn.note_waiting();
        let is_alone = !open.turn.others_recently();
        let costs = &mut open.writer().costs;
        costs.committed(commit);
        let Some((of, messages)) = self.fold else { return };
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        paces.entry(of).or_default().committed(messages, held, costs, is_alone);
    }
}

fn not_writing() -> Error {
    Error::new("read-only", "a transaction that only reads has no savepoint")
}

impl Drop for WorkerTransaction {
    fn drop(&mut self) {
        let Tx::Writes(open) = &mut self.tx else { return };
        let Some(open) = open.take() else { return };
        // Without a runtime, or with one that ends before, the connection goes.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(open.rollback());
        }
    }
}

impl Deref for WorkerTransaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        match &self.tx {
            Tx::Writes(open) => &open.as_ref().expect("it has not ended").connection().connection,
            Tx::Reads(connection) => connection,
        }
    }
}

impl DerefMut for WorkerTransaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        match &mut self.tx {
            Tx::Writes(open) => {
                &mut open.as_mut().expect("it has not ended").writer().connection.connection
            }
            Tx::Reads(connection) => connection,
        }
    }
}

impl Outbox for WorkerTransaction {
    fn put(&mut self, drafts: Vec<Draft>) -> BoxFuture<'_, Result<Vec<MessageId>>> {
        if let (Some(publishing), Tx::Writes(Some(open))) = (&mut self.publishing, &mut self.tx) {
            return Box::pin(publishing.put(&mut open.writer().connection, drafts));
        }
        let message = "a projection publishes nothing, since a rebuild may replay what it reads: \
                       publish in the request, beside the row that the message tells of";
        Box::pin(async move { Err(Error::new("projection-publishes", message)) })
    }
}

//! The requests of this process stand in one line for its one write connection.
//!
//! **Shared commit**: whoever ends while others stand in line leaves the transaction open for the
//! next one, whose statements then stand in a savepoint; the last of a group commits for all, and
//! each answers after that commit. Alone, a request begins and commits as ever.

use crate::connection::{Connections, Role, WriteConnection};
use crate::error;
use crate::group::Group;
use crate::sqlite::gate::REQUEST_WAIT_MAX;
use crate::sqlite::waiting::{Shown, Waiting};
use consign_core::{Error, Result};
use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// A transaction that lasts longer holds up everybody who writes: said in a warning.
const LONG: Duration = Duration::from_millis(100);

/// First come, first served; waiting is shown to the workers of all processes.
#[derive(Debug)]
pub(crate) struct Line {
    slot: Arc<Mutex<Slot>>,
    waiting: Arc<Waiting>,
    standing: Arc<AtomicUsize>,
    holder: Arc<StdMutex<Option<Holder>>>,
}

/// What is at the head of the line.
#[derive(Debug)]
pub(crate) struct Slot {
    connections: Connections,
    pub(crate) connection: Option<WriteConnection>,
    /// Whose transaction is open on the connection.
    pub(crate) group: Option<Group>,
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    since: Instant,
    place: &'static Location<'static>,
}

/// A place at the head of the line, with an open transaction; dropped, it rolls back.
#[derive(Debug)]
pub(crate) struct Held {
    /// Taken when it ends.
    slot: Option<OwnedMutexGuard<Slot>>,
    standing: Arc<AtomicUsize>,
    holder: Arc<StdMutex<Option<Holder>>>,
}

impl Line {
    pub(crate) fn new(connections: Connections, waiting: Arc<Waiting>) -> Self {
        let slot = Slot { connections, connection: None, group: None };
        let (standing, holder) = (Arc::default(), Arc::default());
        Self { slot: Arc::new(Mutex::new(slot)), waiting, standing, holder }
    }

    /// Waits in line, then for SQLite's lock, [`REQUEST_WAIT_MAX`] in all.
    ///
    /// # Cancel safety
    /// It goes on on a task of its own: if the caller goes away, what it began is rolled back.
    pub(crate) async fn begin(&self, place: &'static Location<'static>) -> Result<Held> {
        let (slot, shown) = (Arc::clone(&self.slot), self.waiting.show());
        let (standing, holder) = (Arc::clone(&self.standing), Arc::clone(&self.holder));
        let begin = tokio::spawn(stand(slot, shown, standing, holder, place));
        match tokio::time::timeout(REQUEST_WAIT_MAX, begin).await {
            Ok(stood) => stood.map_err(|source| gone("begin", source))?,
            Err(_) => Err(self.too_long()),
        }
    }

    fn too_long(&self) -> Error {
        let holder = *self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        let who = match holder {
            Some(Holder { since, place }) => format!(
                "the transaction begun at {place} has been open for {:.1} s: commit it earlier, or \
                 write and publish in it instead of beginning another",
                since.elapsed().as_secs_f32()
            ),
            None => "another process or connection holds it".into(),
        };
        let waited = REQUEST_WAIT_MAX.as_secs();
        Error::new(Error::BUSY, format!("cannot begin: no write lock within {waited} s; {who}"))
    }
}

async fn stand(
    slot: Arc<Mutex<Slot>>,
    shown: Shown,
    standing: Arc<AtomicUsize>,
    holder: Arc<StdMutex<Option<Holder>>>,
    place: &'static Location<'static>,
) -> Result<Held> {
    standing.fetch_add(1, Ordering::SeqCst);
    let mut slot = slot.lock_owned().await;
    standing.fetch_sub(1, Ordering::SeqCst);
    slot.begin().await?;
    drop(shown);
    let held = Holder { since: Instant::now(), place };
    *holder.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
    Ok(Held { slot: Some(slot), standing, holder })
}

/// A task of ours that did not end by itself.
pub(crate) fn gone(doing: &str, source: tokio::task::JoinError) -> Error {
    Error::new("stopped", format!("cannot {doing}: the runtime stops")).caused_by(source)
}

impl Slot {
    /// Joins the open group, or begins one.
    async fn begin(&mut self) -> Result {
        if self.group.is_some() {
            return self.join().await;
        }
        if self.connection.is_none() {
            self.connection = Some(self.connections.open_writer(Role::Requests).await?);
        }
        let connection = self.connection.as_mut().expect("opened above");
        let Err(source) = connection.begin().await else {
            self.group = Some(Group::new());
            return Ok(());
        };
        if !error::is_busy(&source) {
            // It may be broken: the next request has a new one.
            self.connection = None;
        }
        Err(error::of_sqlx("begin", source))
    }

    /// Ends what the group has open, for all who wait for it.
    pub(crate) async fn end_group(&mut self, end: Result) {
        if end.is_err()
            && let Some(connection) = self.connection.take()
        {
            // sqlx goes on counting a transaction that SQLite has ended: a new connection.
            connection.close().await;
        }
        if let Some(group) = self.group.take() {
            group.ended(end);
        }
    }
}

impl Held {
    pub(crate) fn connection(&self) -> &WriteConnection {
        self.slot.as_ref().and_then(|slot| slot.connection.as_ref()).expect("it has not ended")
    }

    pub(crate) fn connection_mut(&mut self) -> &mut WriteConnection {
        self.slot.as_mut().and_then(|slot| slot.connection.as_mut()).expect("it has not ended")
    }

    pub(crate) async fn commit(mut self) -> Result {
        let mut slot = self.leave().expect("it ends once");
        slot.commit(is_wanted(&self.standing)).await.wait(slot).await
    }

    pub(crate) async fn rollback(mut self) -> Result {
        let mut slot = self.leave().expect("it ends once");
        slot.rollback(is_wanted(&self.standing)).await
    }

    /// The statements are at their end; what follows is ours.
    fn leave(&mut self) -> Option<OwnedMutexGuard<Slot>> {
        let slot = self.slot.take()?;
        let held = self.holder.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Holder { since, place }) = held
            && since.elapsed() > LONG
        {
            let ms = since.elapsed().as_millis();
            tracing::warn!("the transaction begun at {place} held the write lock for {ms} ms");
        }
        Some(slot)
    }
}

/// Somebody stands in line for it.
fn is_wanted(standing: &AtomicUsize) -> bool {
    standing.load(Ordering::SeqCst) > 0
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(mut slot) = self.leave() else { return };
        let standing = Arc::clone(&self.standing);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { slot.rollback(is_wanted(&standing)).await });
        } else {
            // Without a runtime the connection goes, and the transaction with it.
            (slot.connection, slot.group) = (None, None);
        }
    }
}

//! The requests of this process stand in one line for its one write connection.

use crate::connection::{Connections, Role, WriteConnection};
use crate::error;
use crate::sqlite::gate::{REQUEST_WAIT_MAX, Waiting};
use consign_core::{Error, Result};
use std::panic::Location;
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
    holder: Arc<StdMutex<Option<Holder>>>,
}

#[derive(Debug)]
struct Slot {
    connections: Connections,
    connection: Option<WriteConnection>,
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
    holder: Arc<StdMutex<Option<Holder>>>,
}

impl Line {
    pub(crate) fn new(connections: Connections, waiting: Arc<Waiting>) -> Self {
        let slot = Arc::new(Mutex::new(Slot { connections, connection: None }));
        Self { slot, waiting, holder: Arc::default() }
    }

    /// Waits in line, then for SQLite's lock, [`REQUEST_WAIT_MAX`] in all.
    ///
    /// # Cancel safety
    /// It goes on on a task of its own: if the caller goes away, what it began is rolled back.
    pub(crate) async fn begin(&self, place: &'static Location<'static>) -> Result<Held> {
        let (slot, waiting) = (Arc::clone(&self.slot), Arc::clone(&self.waiting));
        let holder = Arc::clone(&self.holder);
        let begin = tokio::spawn(async move {
            let _shown = waiting.show();
            let mut slot = slot.lock_owned().await;
            slot.begin().await?;
            let held = Holder { since: Instant::now(), place };
            *holder.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
            Ok(Held { slot: Some(slot), holder })
        });
        match tokio::time::timeout(REQUEST_WAIT_MAX, begin).await {
            Ok(begun) => begun.map_err(|source| gone("begin", source))?,
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
        Error::new(
            Error::BUSY,
            format!("cannot begin: no write lock within {} s; {who}", REQUEST_WAIT_MAX.as_secs()),
        )
    }
}

/// A task of ours that did not end by itself.
pub(crate) fn gone(doing: &str, source: tokio::task::JoinError) -> Error {
    Error::new("stopped", format!("cannot {doing}: the runtime stops")).caused_by(source)
}

impl Slot {
    async fn begin(&mut self) -> Result {
        if self.connection.is_none() {
            self.connection = Some(self.connections.open_writer(Role::Requests).await?);
        }
        let connection = self.connection.as_mut().expect("opened above");
        let Err(source) = connection.begin().await else { return Ok(()) };
        if !error::is_busy(&source) {
            // It may be broken: the next request has a new one.
            self.connection = None;
        }
        Err(error::of_sqlx("begin", source))
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
        let ended = self.connection_mut().commit().await;
        self.let_go(ended).await
    }

    pub(crate) async fn rollback(mut self) -> Result {
        let ended = self.connection_mut().rollback().await;
        self.let_go(ended).await
    }

    async fn let_go(mut self, ended: Result) -> Result {
        let slot = self.slot.take().expect("it ends once");
        replace_if(slot, &ended).await;
        ended
    }
}

/// A connection whose transaction did not end as asked is replaced: sqlx goes on counting a
/// transaction that SQLite has ended.
async fn replace_if(mut slot: OwnedMutexGuard<Slot>, ended: &Result) {
    if ended.is_err()
        && let Some(connection) = slot.connection.take()
    {
        connection.close().await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let held = self.holder.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Holder { since, place }) = held
            && since.elapsed() > LONG
        {
            let ms = since.elapsed().as_millis();
            tracing::warn!("the transaction begun at {place} held the write lock for {ms} ms");
        }
        if let Some(slot) = self.slot.take() {
            roll_back_later(slot);
        }
    }
}

fn roll_back_later(mut slot: OwnedMutexGuard<Slot>) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        // Without a runtime the connection goes, and the transaction with it.
        slot.connection = None;
        return;
    };
    runtime.spawn(async move {
        let ended = match slot.connection.as_mut() {
            Some(connection) => connection.rollback().await,
            None => Ok(()),
        };
        replace_if(slot, &ended).await;
    });
}

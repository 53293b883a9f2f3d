//! The requests of this process stand in one line for its one write connection.
//!
//! **Shared commit**: whoever ends while others stand in line leaves the transaction open for the
//! next one, whose statements then stand in a savepoint; the last of a group commits for all, and
//! each answers after that commit. Alone, a request begins and commits as ever.

use crate::connection::{Connections, Role, WriteConnection};
use crate::error;
use crate::group::Group;
use crate::place::{Place, Queue, Standing};
use crate::sqlite::gate::REQUEST_WAIT_MAX;
use crate::sqlite::waiting::{Shown, Waiting};
use consign_core::{Error, Result};
use std::collections::HashSet;
use std::panic::Location;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::Id;

/// A transaction that lasts longer holds up everybody who writes: said in a warning.
const LONG: Duration = Duration::from_millis(100);

/// First come, first served; waiting is shown to the workers of all processes.
#[derive(Debug)]
pub(crate) struct Line {
    queue: Queue,
    waiting: Arc<Waiting>,
    holder: Arc<StdMutex<Option<Holder>>>,
}

/// What is at the head of the line.
#[derive(Debug)]
pub(crate) struct Slot {
    connections: Connections,
    pub(crate) connection: Option<WriteConnection>,
    /// Whose transaction is open on the connection.
    pub(crate) group: Option<Group>,
    /// Where transactions begin of which the last one was long: nobody shall wait for these.
    slow: HashSet<&'static Location<'static>>,
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
    place: Option<Place>,
    holder: Arc<StdMutex<Option<Holder>>>,
}

impl Line {
    pub(crate) fn new(connections: Connections, waiting: Arc<Waiting>) -> Self {
        let slot = Slot { connections, connection: None, group: None, slow: HashSet::new() };
        Self { queue: Queue::new(slot), waiting, holder: Arc::default() }
    }

    /// Waits in line, then for SQLite's lock, [`REQUEST_WAIT_MAX`] in all, counted from `since`.
    ///
    /// # Cancel safety
    /// It goes on on a task of its own: if the caller goes away, what it began is rolled back.
    pub(crate) async fn begin(
        &self,
        since: Instant,
        place: &'static Location<'static>,
    ) -> Result<Held> {
        let begin = Begin {
            standing: self.queue.stand(),
            shown: self.waiting.show(),
            queue: self.queue.clone(),
            holder: Arc::clone(&self.holder),
            task: tokio::task::try_id(),
            until: since + REQUEST_WAIT_MAX,
        };
        let until = begin.until.into();
        match tokio::time::timeout_at(until, tokio::spawn(begin.stand(place))).await {
            Ok(Ok(Ok(Some(held)))) => Ok(held),
            Ok(Ok(Err(error))) => Err(error),
            Ok(Err(source)) => Err(gone("begin", source)),
            Ok(Ok(Ok(None))) | Err(_) => Err(self.too_long()),
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

/// A request on its way to the head of the line.
struct Begin {
    queue: Queue,
    standing: Standing,
    shown: Shown,
    holder: Arc<StdMutex<Option<Holder>>>,
    task: Option<Id>,
    until: Instant,
}

impl Begin {
    /// Comes to the head of the line, unless it is too late then: who asked was told so.
    async fn stand(self, place: &'static Location<'static>) -> Result<Option<Held>> {
        let Self { queue, standing, shown, holder, task, until } = self;
        let come = tokio::time::timeout_at(until.into(), queue.place()).await;
        let Ok(mut head) = come else { return Ok(None) };
        drop(standing);
        if let Err(error) = head.begin(task, place).await {
            head.settled();
            return Err(error);
        }
        drop(shown);
        let now = Holder { since: Instant::now(), place };
        *holder.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        Ok(Some(Held { place: Some(head), holder }))
    }
}

/// A task of ours that did not end by itself.
pub(crate) fn gone(doing: &str, source: tokio::task::JoinError) -> Error {
    Error::new("stopped", format!("cannot {doing}: the runtime stops")).caused_by(source)
}

impl Slot {
    /// Joins the open group, or begins one.
    async fn begin(&mut self, task: Option<Id>, place: &'static Location<'static>) -> Result {
        if self.is_open_to(task) && !self.slow.contains(place) {
            return self.join().await;
        }
        if self.group.is_some() {
            let _answered_to_those_who_wait = self.commit_group().await;
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

impl Slot {
    fn has_held(&mut self, Holder { since, place }: Holder) {
        let held = since.elapsed();
        if held <= LONG {
            self.slow.remove(place);
            return;
        }
        self.slow.insert(place);
        let ms = held.as_millis();
        tracing::warn!("the transaction begun at {place} held the write lock for {ms} ms");
    }

    /// Lets SQLite roll back what is open, at once and without a runtime.
    pub(crate) fn close(&mut self) {
        (self.connection, self.group) = (None, None);
    }
}

impl Held {
    pub(crate) fn connection(&self) -> &WriteConnection {
        self.place.as_ref().and_then(|place| place.connection.as_ref()).expect("it has not ended")
    }

    pub(crate) fn connection_mut(&mut self) -> &mut WriteConnection {
        self.place.as_mut().and_then(|place| place.connection.as_mut()).expect("it has not ended")
    }

    /// Ends what `task` began, with a commit that may be shared.
    pub(crate) async fn commit(mut self, task: Option<Id>) -> Result {
        let mut place = self.leave().expect("it ends once");
        let queue = place.queue().clone();
        place.commit(&queue, task).await.wait(place).await
    }

    pub(crate) async fn rollback(mut self, task: Option<Id>) -> Result {
        let mut place = self.leave().expect("it ends once");
        let queue = place.queue().clone();
        place.rollback(&queue, task).await.wait(place).await
    }

    /// The statements are at their end; what follows is ours.
    fn leave(&mut self) -> Option<Place> {
        let mut place = self.place.take()?;
        let held = self.holder.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(held) = held {
            place.has_held(held);
        }
        Some(place)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(mut place) = self.leave() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // Without a runtime the connection goes, and the transaction with it.
            return drop(place);
        };
        runtime.spawn(async move {
            let queue = place.queue().clone();
            let _nobody_asks = place.rollback(&queue, None).await;
            place.settled();
        });
    }
}

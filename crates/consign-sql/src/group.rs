//! A group of requests that share one commit.

use crate::line::Slot;
use crate::place::{Place, Queue};
use consign_core::{BoxError, Error, Result};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::Id;

/// A group that is older than this is committed by whoever ends next.
const AGE_MAX: Duration = Duration::from_micros(2_500);
/// Who has waited for so long stands in line once more, to commit what was handed on to nobody.
const STANDS_AGAIN: Duration = Duration::from_millis(50);
/// Who has waited for so long is told that the outcome is unknown.
pub(crate) const GROUP_WAIT_MAX: Duration = Duration::from_secs(5);
/// It waits in parts, so that a process that was stopped meanwhile still waits for what then comes.
const GROUP_WAITS: u32 = 5;
const GROUP_WAIT: Duration = Duration::from_secs(GROUP_WAIT_MAX.as_secs() / GROUP_WAITS as u64);

type End = Option<Result>;

/// Requests whose statements stand in one open transaction.
#[derive(Debug)]
pub(crate) struct Group {
    since: Instant,
    /// Members that have ended and wait for the commit, by the tasks that they run on: none of
    /// these may join, since it would wait for itself.
    waiting: Vec<Option<Id>>,
    end: watch::Sender<End>,
}

impl Group {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), waiting: Vec::new(), end: watch::Sender::new(None) }
    }

    pub(crate) fn ended(self, end: Result) {
        self.end.send_replace(Some(end));
    }

    /// Somebody is there who will stand in line for it again.
    pub(crate) fn is_awaited(&self) -> bool {
        self.end.receiver_count() > 0
    }

    fn is_young(&self) -> bool {
        self.since.elapsed() < AGE_MAX
    }

    fn wait(&mut self, task: Option<Id>, queue: &Queue) -> Wait {
        self.waiting.push(task);
        Wait { queue: queue.clone(), end: self.end.subscribe() }
    }
}

/// Waits for the end of a group that the next in line goes on with.
#[derive(Debug)]
pub(crate) struct Wait {
    queue: Queue,
    end: watch::Receiver<End>,
}

/// What follows the end of a member's statements.
pub(crate) enum Ended {
    /// It is over, one way or the other.
    Over(Result),
    /// The next in line goes on in the transaction; the last one commits for all.
    HandedOn(Wait),
}

impl Ended {
    /// Lets the next in line in, and waits for the commit that is to come.
    pub(crate) async fn wait(self, place: Place) -> Result {
        place.settled();
        match self {
            Self::Over(end) => end,
            Self::HandedOn(wait) => wait.for_its_end().await,
        }
    }
}

impl Wait {
    async fn for_its_end(mut self) -> Result {
        let (queue, end) = (self.queue.clone(), self.end.clone());
        let waited = async {
            tokio::select! {
                end = ended(&mut self.end) => end,
                end = commit_later(&queue, end) => end,
            }
        };
        tokio::pin!(waited);
        for _ in 0..GROUP_WAITS {
            if let Ok(end) = tokio::time::timeout(GROUP_WAIT, &mut waited).await {
                return end;
            }
        }
        Err(unknown())
    }
}

/// Who goes before the end may be the last who waited for it.
impl Drop for Wait {
    fn drop(&mut self) {
        self.end = watch::Sender::new(None).subscribe();
        self.queue.leave();
    }
}

async fn ended(end: &mut watch::Receiver<End>) -> Result {
    match end.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(Ok(()))) => Ok(()),
        Ok(Some(Err(error))) => Err(error.again()),
        Ok(None) | Err(_) => Err(cut_short("nobody is left who could commit")),
    }
}

/// Commits what nobody came for: its next in line gave up, or went with another runtime.
async fn commit_later(queue: &Queue, mut end: watch::Receiver<End>) -> Result {
    tokio::time::sleep(STANDS_AGAIN).await;
    let mut place = queue.place().await;
    if place.group.as_ref().is_some_and(|group| group.end.subscribe().same_channel(&end)) {
        // On a task of its own: who waits may give up, and the commit goes on.
        let commit = tokio::spawn(async move {
            let committed = place.commit_group().await;
            place.settled();
            committed
        });
        return commit.await.map_err(cut_short)?;
    }
    place.settled();
    ended(&mut end).await
}

/// The task that was to commit has gone with its runtime.
pub(crate) fn cut_short(source: impl Into<BoxError>) -> Error {
    let message = "it is unknown whether this commit is kept: the runtime that was to do it has \
                   stopped; look before you do it again";
    Error::new(Error::UNKNOWN, message).caused_by(source)
}

fn unknown() -> Error {
    let message = format!(
        "it is unknown whether this commit is kept: for {} s another request has held the \
         transaction that both share; look before you do it again, and keep transactions short",
        GROUP_WAIT_MAX.as_secs()
    );
    Error::new(Error::UNKNOWN, message)
}

/// What the others are told when a member's doing ends the transaction of all.
fn failed(cause: &Error) -> Error {
    let message = format!(
        "nothing of this was kept, through no fault of its own: a request that shared the commit \
         failed ({cause}); do it again"
    );
    Error::new(Error::GROUP_FAILED, message)
}

fn broken_foreign_key() -> Error {
    Error::new("database", "cannot commit: FOREIGN KEY constraint failed")
}

impl Slot {
    /// Asks whether a request of this task may join the open transaction.
    pub(crate) fn is_open_to(&self, task: Option<Id>) -> bool {
        self.group.as_ref().is_some_and(|group| !group.waiting.contains(&task))
    }

    /// Joins the open transaction: what it does stands in a savepoint.
    pub(crate) async fn join(&mut self) -> Result {
        let connection = self.connection.as_mut().expect("a group has a connection");
        match connection.nest().await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail_group(error).await),
        }
    }

    /// Ends a member that wants to be kept.
    pub(crate) async fn commit(&mut self, queue: &Queue, task: Option<Id>) -> Ended {
        let group = self.group.as_ref().expect("it has not ended");
        let goes_on = queue.is_wanted() && group.is_young();
        let connection = self.connection.as_mut().expect("it has not ended");
        if goes_on || connection.is_nesting() {
            match connection.release().await {
                Ok(true) => {}
                Ok(false) => return Ended::Over(self.leave_out(goes_on).await),
                Err(error) => return Ended::Over(Err(self.fail_group(error).await)),
            }
        }
        match &mut self.group {
            Some(group) if goes_on => Ended::HandedOn(group.wait(task, queue)),
            _ => Ended::Over(self.commit_group().await),
        }
    }

    /// Ends a member whose statements cannot be committed; the others' can.
    async fn leave_out(&mut self, goes_on: bool) -> Result {
        let others = self.group.as_ref().is_some_and(|group| !group.waiting.is_empty());
        if !others {
            let connection = self.connection.as_mut().expect("it has not ended");
            let rolled_back = connection.rollback().await;
            self.end_group(rolled_back).await;
        } else if !goes_on {
            let _answered_to_those_who_wait = self.commit_group().await;
        }
        Err(broken_foreign_key())
    }

    /// Ends a member that wants nothing kept; the others' statements stay. What it read of theirs
    /// is true only once they are committed.
    pub(crate) async fn rollback(&mut self, queue: &Queue, task: Option<Id>) -> Ended {
        let connection = self.connection.as_mut().expect("it has not ended");
        let rolled_back = connection.rollback().await;
        let group = self.group.as_mut().expect("it has not ended");
        if let Err(error) = rolled_back {
            return Ended::Over(Err(self.fail_group(error).await));
        }
        if group.waiting.is_empty() {
            self.end_group(Ok(())).await;
            return Ended::Over(Ok(()));
        }
        if queue.is_wanted() && group.is_young() {
            return Ended::HandedOn(group.wait(task, queue));
        }
        Ended::Over(self.commit_group().await)
    }

    /// Ends the group for what one member did, and answers what that one is told.
    async fn fail_group(&mut self, error: Error) -> Error {
        let connection = self.connection.as_mut().expect("a group has a connection");
        let error = connection.explained(error).await;
        let others = if error.is_full() { error.again() } else { failed(&error) };
        self.end_group(Err(others)).await;
        error
    }

    pub(crate) async fn commit_group(&mut self) -> Result {
        let connection = self.connection.as_mut().expect("a group has a connection");
        let committed = connection.commit().await;
        let end = committed.as_ref().map_or_else(|error| Err(error.again()), |()| Ok(()));
        self.end_group(end).await;
        committed
    }
}

//! A group of requests that share one commit.

use crate::line::Slot;
use consign_core::Result;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedMutexGuard, watch};

/// A group that is older than this is committed by whoever ends next.
const AGE_MAX: Duration = Duration::from_micros(2_500);

/// Requests whose statements stand in one open transaction.
#[derive(Debug)]
pub(crate) struct Group {
    since: Instant,
    /// Members that have ended and wait for the commit.
    waiting: usize,
    end: watch::Sender<Option<Result>>,
}

impl Group {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), waiting: 0, end: watch::Sender::new(None) }
    }

    pub(crate) fn ended(self, end: Result) {
        self.end.send_replace(Some(end));
    }
}

/// What follows the end of a member's statements.
pub(crate) enum Ended {
    /// It is over, one way or the other.
    Over(Result),
    /// The next in line goes on in the transaction; the last one commits for all.
    HandedOn(watch::Receiver<Option<Result>>),
}

impl Ended {
    /// Lets the next in line in, and waits for the commit that is to come.
    pub(crate) async fn wait(self, slot: OwnedMutexGuard<Slot>) -> Result {
        drop(slot);
        match self {
            Self::Over(end) => end,
            Self::HandedOn(mut end) => match end.wait_for(Option::is_some).await.as_deref() {
                Ok(Some(Ok(()))) => Ok(()),
                Ok(Some(Err(error))) => Err(error.again()),
                Ok(None) | Err(_) => Err(stopped()),
            },
        }
    }
}

fn stopped() -> consign_core::Error {
    consign_core::Error::new("stopped", "cannot commit: the runtime stops")
}

impl Slot {
    /// Joins the open transaction: what it does stands in a savepoint.
    pub(crate) async fn join(&mut self) -> Result {
        let connection = self.connection.as_mut().expect("a group has a connection");
        let nested = connection.nest().await;
        if let Err(error) = &nested {
            self.end_group(Err(error.again())).await;
        }
        nested
    }

    /// Ends a member that wants to be kept.
    pub(crate) async fn commit(&mut self, wanted: bool) -> Ended {
        let connection = self.connection.as_mut().expect("it has not ended");
        if let Err(error) = connection.release().await {
            let end = Err(error.again());
            self.end_group(Err(error)).await;
            return Ended::Over(end);
        }
        let group = self.group.as_mut().expect("it has not ended");
        group.waiting += 1;
        if wanted && group.since.elapsed() < AGE_MAX {
            return Ended::HandedOn(group.end.subscribe());
        }
        Ended::Over(self.commit_group().await)
    }

    /// Ends a member that wants nothing kept; the others' statements stay.
    pub(crate) async fn rollback(&mut self, wanted: bool) -> Result {
        let waiting = self.group.as_ref().map_or(0, |group| group.waiting);
        let connection = self.connection.as_mut().expect("it has not ended");
        let rolled_back = connection.rollback().await;
        if waiting == 0 || rolled_back.is_err() {
            let end = rolled_back.as_ref().map_or_else(|error| Err(error.again()), |()| Ok(()));
            self.end_group(end).await;
        } else if !wanted {
            let _answered_to_those_who_wait = self.commit_group().await;
        }
        rolled_back
    }

    async fn commit_group(&mut self) -> Result {
        let connection = self.connection.as_mut().expect("a group has a connection");
        let committed = connection.commit().await;
        let end = committed.as_ref().map_or_else(|error| Err(error.again()), |()| Ok(()));
        self.end_group(end).await;
        committed
    }
}

//! What runs in this process.

use crate::sqlite::Consign;
use crate::{Result, Running};
use consign_sql::{Log, SqlLedger};
use consign_worker::{Subscribe, Subscription};
use std::fmt;
use std::marker::PhantomData;

/// Stands for the subscriptions until there is one, so that the compiler refuses `start` alone.
#[derive(Debug)]
pub enum NothingSubscribed {}

/// At least one subscription.
#[derive(Debug)]
pub enum Subscribed {}

/// Collects what runs; from [`Consign::workers`].
#[must_use = "finish it with `start().await`"]
pub struct Workers<Has = NothingSubscribed> {
    consign: Consign,
    subscriptions: Vec<Subscription<SqlLedger, Log>>,
    has: PhantomData<fn(Has)>,
}

impl Workers {
    pub(crate) fn new(consign: Consign) -> Self {
        Self { consign, subscriptions: Vec::new(), has: PhantomData }
    }
}

impl<Has> Workers<Has> {
    /// Adds a [`stream()`](crate::stream).
    pub fn subscribe(
        mut self,
        subscription: impl Subscribe<SqlLedger, Log>,
    ) -> Workers<Subscribed> {
        self.subscriptions.push(subscription.subscription());
        let Self { consign, subscriptions, .. } = self;
        Workers { consign, subscriptions, has: PhantomData }
    }
}

impl Workers<Subscribed> {
    /// Runs them in tasks of this process. Several processes that name the same subscription share
    /// its partitions.
    ///
    /// # Errors
    /// What cannot work is refused, with a sentence that says what to change: `sum-table`,
    /// `other-topic`, `bad-name`, `subscribed-twice`.
    pub async fn start(self) -> Result<Running> {
        let log = self.consign.log().clone();
        consign_worker::start(SqlLedger::new(log.clone()), log, self.subscriptions).await
    }
}

impl<Has> fmt::Debug for Workers<Has> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("subscriptions", &self.subscriptions)
            .finish_non_exhaustive()
    }
}

//! Where a test may end a worker: before and after each commit of its process.

use consign_core::BoxFuture;
use std::fmt;

/// Is asked at each commit of this process's workers, for tests that end them there.
///
/// Requests, which commit through [`Transaction`](crate::Transaction), are not asked about.
pub trait AtCommit: fmt::Debug + Send + Sync {
    /// A worker has come to this point, and goes on when the future is done. One that is never done
    /// holds it there: dropped before the commit, the transaction is rolled back; after it, nobody
    /// has seen that it was made.
    fn reached(&self, point: CommitPoint) -> BoxFuture<'_, ()>;
}

/// A point of a worker's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitPoint {
    /// On which side of the commit.
    pub side: Side,
    /// Messages whose effects commit here; `None`: what is committed is the worker's own, such as
    /// who owns what.
    pub messages: Option<usize>,
}

/// A side of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// All statements have run, and nothing is kept yet.
    Before,
    /// All is kept, and nobody has been told.
    After,
}

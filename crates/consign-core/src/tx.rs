//! The transaction that the worker owns, lent to one call of a projection.

use crate::{BoxFuture, Draft, Message, MessageId, Outbox, Publish, Result};
use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The worker's transaction, lent to one call of a projection. Derefs to the connection: `.execute(&mut *tx)`.
///
/// What is written and published through it commits together with the ledger; `Connection` is `SqliteConnection` or `PgConnection`.
/// Dropping it (returning) gives the transaction back. Keeping it is an error.
pub struct Tx<Connection: Send + 'static>(OwnedMutexGuard<dyn Outbox<Target = Connection>>);

impl<Connection: Send> Tx<Connection> {
    /// Publishes in this transaction: exactly once, as the effect beside it.
    ///
    /// # Errors
    /// `projection-publishes` in a projection, which may be replayed.
    pub fn publish<M: Message>(&mut self, message: &M) -> Publish<'_, MessageId> {
        Outbox::publish(self, message)
    }
    /// Publishes several messages at once.
    ///
    /// # Errors
    /// As [`Tx::publish`].
    pub fn publish_all<'m, M: Message>(
        &mut self,
        messages: impl IntoIterator<Item = &'m M>,
    ) -> Publish<'_, Vec<MessageId>> {
        Outbox::publish_all(self, messages)
    }
}

impl<Connection: Send> Outbox for Tx<Connection> {
    fn put(&mut self, drafts: Vec<Draft>) -> BoxFuture<'_, Result<Vec<MessageId>>> {
        self.0.put(drafts)
    }
}

impl<Connection: Send> Deref for Tx<Connection> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl<Connection: Send> DerefMut for Tx<Connection> {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

impl<Connection: Send> fmt::Debug for Tx<Connection> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tx")
    }
}

/// The worker's side of [`Tx`]: the transaction while it is lent.
///
/// Whoever lets go last drops the transaction, which rolls it back; so who keeps a `Tx` cannot commit it.
pub struct Lent<Transaction>(Arc<Mutex<Transaction>>);

/// The handler returned, but its `Tx` lives on: moved elsewhere, or forgotten.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept;

impl<Transaction> Lent<Transaction>
where
    Transaction: Outbox<Target: Send + Sized> + 'static,
{
    /// Lends the transaction; the guard goes to the projection.
    ///
    /// # Panics
    /// Never: nobody else knows the lock yet.
    pub fn lend(transaction: Transaction) -> (Self, Tx<Transaction::Target>) {
        let shared = Arc::new(Mutex::new(transaction));
        let erased: Arc<Mutex<dyn Outbox<Target = Transaction::Target>>> = shared.clone();
        let guard = erased.try_lock_owned().expect("nobody else knows this lock yet");
        (Self(shared), Tx(guard))
    }

    /// Takes the transaction back after the projection returned, panicked or ran out of time.
    ///
    /// # Errors
    /// [`Kept`], when the guard still lives somewhere.
    pub fn take_back(self) -> std::result::Result<Transaction, Kept> {
        Arc::try_unwrap(self.0).map(Mutex::into_inner).map_err(|_| Kept)
    }
}

impl<Transaction> fmt::Debug for Lent<Transaction> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lent")
    }
}

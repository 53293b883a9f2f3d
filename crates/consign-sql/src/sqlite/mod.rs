//! What only SQLite needs: who waits for its one write lock, checkpoints, hooks, its thread.

pub(crate) mod checkpoint;
pub(crate) mod commit_hook;
pub(crate) mod gate;
pub(crate) mod inside;
pub(crate) mod pace;
pub(crate) mod savepoint;
pub(crate) mod thread;
pub(crate) mod turns;
pub(crate) mod version;
pub(crate) mod waiting;

//! The log, its readers and the ledger of `consign`, in the application's own SQLite database.
//!
//! The only crate with SQL. Applications use the facade `consign`.

mod at_commit;
mod callers;
mod catch_up;
mod command;
mod connection;
mod cron;
mod cursor;
mod dead_letter;
mod dead_letters;
mod due;
mod error;
mod explain;
mod fault;
mod freshness;
mod group;
mod handle;
mod ledger;
mod line;
mod liveness;
mod migrate;
mod outstanding;
mod owner;
mod place;
#[cfg(test)]
mod plans;
mod publish;
mod published;
mod queue_ledger;
mod rebuild;
mod receive;
mod request;
mod retention;
mod run;
mod schedule_ledger;
mod scheduled;
mod settle;
mod sqlite;
mod standstill;
mod status;
mod subscription;
mod sum;
mod topics;
mod transaction;
mod unique;
mod waiting;
mod watch;
mod writer;

pub use at_commit::{AtCommit, CommitPoint, Side};
pub use catch_up::CatchUp;
pub use dead_letters::{DeadLetter, DeadLetters, ParkedKey};
pub use explain::SubscriptionState;
pub use handle::{Log, LogOptions, NewTopic};
pub use ledger::SqlLedger;
pub use outstanding::Outstanding;
pub use rebuild::Rebuild;
pub use receive::LogReader;
pub use request::{Request, RequestStatus, Selection};
pub use run::Run;
pub use status::{SubscriptionStatus, subscriptions};
pub use sum::{Sum, SumInto, Value};
pub use transaction::Transaction;
pub use writer::WorkerTransaction;

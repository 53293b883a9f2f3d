//! What a driver's tests give to be tried.

use consign_core::{Draft, Driver, Ledger, QueueLedger, Result, ScheduleLedger, Topic};

/// A broker and the database beside it, fresh: an empty topic, and no subscription.
///
/// Where both are one, as on SQLite, so is this.
pub trait Subject: Sized {
    /// Where progress is recorded; one stands for one worker process.
    type Ledger: QueueLedger + ScheduleLedger;
    /// What connects to the broker.
    type Driver: Driver;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// The topic that all is published to.
    fn topic(&self) -> Topic;

    /// How many partitions the topic has, at least 2.
    fn partitions(&self) -> u16;

    /// Another worker process, which has not joined.
    fn process(&self) -> impl Future<Output = (Self::Ledger, Self::Driver)>;

    /// Kills a process, as kill -9 would; answers when others can know that it is dead, by a lock
    /// that is free or by a lease that is over.
    fn kill(&self, ledger: Self::Ledger) -> impl Future<Output = ()>;

    /// Publishes in one transaction, and returns when the messages are accepted; or takes them
    /// back, where that can be had.
    fn publish(&self, drafts: Vec<Draft>, stands: bool) -> impl Future<Output = Result>;

    /// An effect on message `number`, which shows when it happens twice.
    fn affect(
        &self,
        tx: &mut <Self::Ledger as Ledger>::Transaction,
        number: u64,
    ) -> impl Future<Output = Result>;

    /// The numbers of all effects that stand, in any order, each as often as it happened.
    fn effects(&self) -> impl Future<Output = Vec<u64>>;
}

/// What a subject can do, said before it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What was published in a transaction can be taken back.
    pub rolls_back: bool,
    /// A reader may go back, and reads the same again.
    pub replays: bool,
    /// It keeps what is due later, and crons.
    pub schedules: bool,
}

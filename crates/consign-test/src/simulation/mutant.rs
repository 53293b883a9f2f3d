//! Ledgers and drivers that do not keep their word: each a bug that the simulation must find.

/// What the simulated ledger or driver does wrong, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Cursors move from wherever they stand.
    NoPlaceCheck,
    /// A take-over leaves the epoch as it is.
    TakeKeepsEpoch,
    /// Whatever an older epoch settles stands, where the cursor has not moved.
    NoEpochCheck,
    /// What a dead owner had in hand is not suspected.
    NobodyIsSuspect,
    /// Before a suspect is run, its attempt is not stored.
    SuspectNotStored,
    /// A new owner is not told of a suspect that others wait for.
    TakeOverIgnoresSuspect,
    /// Done marks are not written.
    MarksNotWritten,
    /// Done marks go before the cursor has passed them.
    MarksGoEarly,
    /// A new owner is not told of done marks.
    TakeOverIgnoresMarks,
    /// A new owner is not told of parked keys.
    TakeOverIgnoresParked,
    /// What is settled stays when the transaction is rolled back.
    SettledOutside,
    /// Effects stay when the transaction is rolled back.
    EffectsOutside,
    /// Effects go when the transaction commits: only the ledger stays.
    EffectsForgotten,
    /// A commit answers that it stands, and nothing does.
    CommitLies,
    /// The row of a message that had waited stays when it is applied.
    RetryStays,
    /// A message that is to be tried again has no row.
    RetryNotWritten,
    /// A message that waits behind another has no row.
    ParkedNotWritten,
    /// A key whose message waits is not parked.
    KeyNotParked,
    /// A key is parked no more while messages of it wait.
    UnparkedEarly,
    /// The next message of a parked key never comes.
    ChainStops,
    /// Of a parked key the last message comes first.
    ChainReversed,
    /// A dead letter has no row.
    DeadNotWritten,
    /// What is discarded is not counted.
    DiscardedNotCounted,
    /// Attempts that were made are forgotten.
    AttemptForgotten,
    /// What waits is due too late to be found.
    NeverDue,
    /// A handler's writes are denied.
    WritesDenied,
    /// What is taken back to a savepoint stays.
    TakenBackStays,
    /// What was done before a savepoint is taken back with what follows it.
    TakesBackAll,
    /// A page leaves a message out.
    PageSkips,
    /// A page begins too early.
    PageRepeats,
    /// Cursors begin one message too late.
    BeginsLate,
    /// Handing a partition over moves its cursor on.
    ReleaseMoves,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 32] = [
        Self::NoPlaceCheck,
        Self::TakeKeepsEpoch,
        Self::NoEpochCheck,
        Self::NobodyIsSuspect,
        Self::SuspectNotStored,
        Self::TakeOverIgnoresSuspect,
        Self::MarksNotWritten,
        Self::MarksGoEarly,
        Self::TakeOverIgnoresMarks,
        Self::TakeOverIgnoresParked,
        Self::SettledOutside,
        Self::EffectsOutside,
        Self::EffectsForgotten,
        Self::CommitLies,
        Self::RetryStays,
        Self::RetryNotWritten,
        Self::ParkedNotWritten,
        Self::KeyNotParked,
        Self::UnparkedEarly,
        Self::ChainStops,
        Self::ChainReversed,
        Self::DeadNotWritten,
        Self::DiscardedNotCounted,
        Self::AttemptForgotten,
        Self::NeverDue,
        Self::WritesDenied,
        Self::TakenBackStays,
        Self::TakesBackAll,
        Self::PageSkips,
        Self::PageRepeats,
        Self::BeginsLate,
        Self::ReleaseMoves,
    ];
}

//! Upkeep of a read model, in transactions of its own.

use crate::effect::Subject;
use consign_core::{Error, Ledger, Projection, Result, Tx, Upkeep, Verdict};
use std::time::Duration;
use tokio::time::Instant;

/// Messages after which upkeep is due even while more wait.
const DUE_AFTER: usize = 64;
/// After fewer messages it is due when none came for so long.
const QUIET: Duration = Duration::from_secs(1);

/// When upkeep is due.
#[derive(Debug, Default)]
pub(crate) struct Due {
    applied: usize,
    last: Option<Instant>,
    never: bool,
}

impl Due {
    pub(crate) fn applied(&mut self, messages: usize) {
        self.applied += messages;
        self.last = Some(Instant::now());
    }

    /// A transaction of a backfill counts as some messages.
    pub(crate) fn filled(&mut self) {
        self.applied += DUE_AFTER / 4;
    }

    /// Asks whether it is due; `idle`: nothing else is to be done.
    pub(crate) fn is_due(&self, idle: bool) -> bool {
        let is_quiet = || self.last.is_none_or(|at| at.elapsed() >= QUIET);
        !self.never && (self.applied >= DUE_AFTER || idle && self.applied > 0 && is_quiet())
    }

    /// Learns what upkeep answered, or that it failed: then it waits for more messages.
    pub(crate) fn done(&mut self, upkeep: Upkeep) {
        self.never = upkeep == Upkeep::None;
        // What is left is done when nothing else is, or after the next messages.
        self.applied = usize::from(upkeep == Upkeep::More);
        self.last = None;
    }
}

/// One call of upkeep.
pub(crate) async fn run<L, P>(ledger: &L, subject: &Subject<P>) -> Result<Upkeep>
where
    L: Ledger,
    P: Projection<Tx<L::Connection>>,
{
    let tx = subject.begin(ledger).await?;
    match subject.lend::<L, _, _>(tx, |tx| subject.projection.upkeep(tx)).await? {
        (tx, Ok(upkeep)) => ledger.commit(tx).await.map(|()| upkeep),
        (tx, Err(verdict)) => {
            ledger.rollback(tx).await;
            Err(failed(verdict))
        }
    }
}

fn failed(verdict: Verdict) -> Error {
    let source = verdict.into_error();
    Error::new("upkeep", format!("the upkeep failed: {source}")).caused_by(source)
}

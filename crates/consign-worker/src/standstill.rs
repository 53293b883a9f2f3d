//! Where this process stands still and why, kept in the ledger for those who look.

use crate::stop::Stop;
use consign_core::{QueueLedger, Standing, Standstill, SubscriptionId};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// What could not be written is tried again after this long.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Characters of a cause that are kept, at most.
const CAUSE_CHARACTERS_MAX: usize = 1_000;

/// Why what of it stands still.
pub(crate) type Causes = BTreeMap<Standing, String>;

/// What was written, so that only what changes is.
#[derive(Debug, Default)]
pub(crate) struct Standstills {
    written: Causes,
    not_before: Option<Instant>,
}

impl Standstills {
    /// Writes what has changed. That it cannot be written holds nothing up.
    pub(crate) async fn keep<L: QueueLedger>(
        &mut self,
        (ledger, of, stop): (&L, SubscriptionId, &Stop),
        mut causes: Causes,
    ) {
        for cause in causes.values_mut() {
            if let Some((end, _)) = cause.char_indices().nth(CAUSE_CHARACTERS_MAX) {
                cause.truncate(end);
            }
        }
        if causes == self.written || self.not_before.is_some_and(|at| at > Instant::now()) {
            return;
        }
        match stop.grace(ledger.stands_still(of, &self.changes(&causes))).await {
            Ok(()) => *self = Self { written: causes, not_before: None },
            Err(error) => {
                self.not_before = Some(Instant::now() + AGAIN_AFTER);
                tracing::warn!(%error, "where it stands still is not written, and is not shown");
            }
        }
    }

    /// This process has another identity from now on, which has written nothing.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    fn changes(&self, causes: &Causes) -> Vec<Standstill> {
        let ends = self.written.keys().filter(|what| !causes.contains_key(*what));
        let ends = ends.map(|what| Standstill { what: *what, cause: None });
        let begins = causes.iter().filter(|(what, cause)| self.written.get(*what) != Some(*cause));
        let begins =
            begins.map(|(what, cause)| Standstill { what: *what, cause: Some(cause.clone()) });
        ends.chain(begins).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Causes, Standstills};
    use consign_core::{Partition, Standing, Standstill};

    #[test]
    fn only_what_changes_is_written() {
        let [first, second] = [1, 2].map(|number| Standing::Partition(Partition(number)));
        let all = [(Standing::All, "away"), (first, "newer"), (second, "unknown")];
        let written = all.map(|(what, cause)| (what, cause.to_owned()));
        let before = Standstills { written: Causes::from(written.clone()), not_before: None };
        assert_eq!(before.changes(&before.written), []);
        let mut causes = Causes::from(written);
        causes.remove(&Standing::All);
        causes.insert(second, "undecodable".to_owned());
        let ends = Standstill { what: Standing::All, cause: None };
        let cause = Some("undecodable".to_owned());
        let begins = Standstill { what: second, cause };
        assert_eq!(before.changes(&causes), [ends, begins]);
    }
}

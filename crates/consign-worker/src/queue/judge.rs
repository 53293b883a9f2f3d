//! Who is to blame for a failure: the message, or something that all of them need.

use super::fate::{Failure, Policy, is_outage, text};
use super::outage::{Failed, Outages};
use consign_core::{Fate, QueueLedger, Reason};

/// Something is away: the message is not to blame.
pub(crate) struct Blameless {
    pub(crate) why: String,
    /// Not known by its error, but by others that failed alike before: their attempts are to be
    /// given back.
    pub(crate) alike: Option<Vec<Failed>>,
}

/// What becomes of a message that failed.
pub(crate) fn judge<L: QueueLedger>(
    ledger: &L,
    (policy, outages, random): (&Policy, &mut Outages, &mut fastrand::Rng),
    failed: Failed,
    failure: Failure,
) -> Result<Fate, Blameless> {
    if let Some(error) = failure.error()
        && is_outage(&ledger.fault(error))
    {
        return Err(Blameless { why: text(error), alike: None });
    }
    let fingerprint = failure.fingerprint();
    let fate = policy.fate(failed.attempt, failure, ledger.now(), random.f64());
    let (error, is_last) = match &fate {
        Fate::Retry { error, .. } => (error, false),
        // In the middle of an outage a last attempt is one that does not count, too.
        Fate::Dead { reason: Reason::Attempts, error, .. } => (error, true),
        _ => return Ok(fate),
    };
    match fingerprint.and_then(|fingerprint| outages.suspect(failed, &fingerprint, is_last)) {
        Some(others) => Err(Blameless { why: error.clone(), alike: Some(others) }),
        None => Ok(fate),
    }
}

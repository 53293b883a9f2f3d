//! Who is to blame for a failure: the message, or something that all of them need.

use super::fate::{Failure, Policy, is_outage, text};
use super::outage::{Failed, Outages};
use consign_core::{Fate, QueueLedger};

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
    if let (Some(fingerprint), Fate::Retry { error, .. }) = (fingerprint, &fate)
        && let Some(others) = outages.suspect(failed, &fingerprint)
    {
        return Err(Blameless { why: error.clone(), alike: Some(others) });
    }
    Ok(fate)
}

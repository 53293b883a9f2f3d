//! Judges a run by what was noted while it happened and by what it has left. Pure: no clock, no
//! database, no files; O(n log n).
//!
//! [`check`] asks first whether the run can be judged at all, then every rule, then whether the run
//! met what it had to meet. A rule is a small file; each states one equation between what was
//! accepted, what has its effect, and what the ledger says, and reports a fact once: what was
//! dropped is [`Rule::Lost`], and no second time an effect that the ledger has and nobody sees.
//!
//! It knows logs in the application's database. What speaks of brokers and relays (receipts that
//! come after a fault of a broker's node, ordinals, relayed ranges, broker scans) is not judged
//! here: nothing writes such histories yet.

mod atomicity;
mod both;
mod conservation;
mod cursor;
mod doubled;
mod expected;
mod facts;
mod fencing;
mod findings;
mod gates;
mod ghost;
mod liveness;
mod log;
mod lost;
mod order;
mod reading;
mod real_time;
mod sanity;
mod scan;
mod verdict;

pub use expected::{Effects, Expected, Gate, Offsets, Order, Reader, Reads};
pub use scan::{Counts, CursorRow, LedgerRows, Logged, Scan, Witness};
pub use verdict::{Rule, Verdict, Violation};

use self::facts::Facts;
use self::findings::Findings;
use crate::History;

/// Every rule; what each one finds does not depend on the others.
const RULES: [fn(&Facts<'_>, &mut Findings); 12] = [
    lost::check,
    doubled::check,
    ghost::check,
    both::check,
    order::check,
    atomicity::check,
    fencing::check,
    cursor::check,
    log::check,
    conservation::check,
    real_time::check,
    liveness::check,
];

/// Judges a run.
#[must_use]
pub fn check(history: &History, scan: &Scan, expected: &Expected) -> Verdict {
    if let Err(why) = sanity::of_input(history, scan, expected) {
        return Verdict::InvalidRun(why);
    }
    let facts = Facts::new(history, scan, expected);
    if let Err(why) = sanity::of_end(&facts) {
        return Verdict::InvalidRun(why);
    }
    let mut findings = Findings::default();
    for rule in RULES {
        rule(&facts, &mut findings);
    }
    let violations = findings.complete(&facts);
    if !violations.is_empty() {
        return Verdict::Invalid(violations);
    }
    let missing = gates::missing(&facts);
    if missing.is_empty() { Verdict::Valid } else { Verdict::Inconclusive(missing) }
}

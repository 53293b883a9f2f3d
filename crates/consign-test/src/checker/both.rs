//! A message is applied or given up, never both, where the handler has `Tx`.
//!
//! A redrive takes the dead letter away, so one that is still there is an end like any other.

use super::Rule;
use super::facts::Facts;
use super::findings::{Finding, Findings};

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    for reading in facts.readings.iter().filter(|reading| reading.is_once()) {
        let given_up = reading.ledger.dead.iter().chain(&reading.ledger.discarded);
        for message in given_up.filter(|message| reading.is_applied(**message)) {
            let says = format!("{message} has its effect, and is dead or discarded");
            findings.add(Finding::new(Rule::Both, says).of(reading).message(*message));
        }
    }
}

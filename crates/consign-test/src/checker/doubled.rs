//! A message has its effect at most once per subscription, where the handler has `Tx`.

use super::Rule;
use super::facts::Facts;
use super::findings::{Finding, Findings};

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    for reading in facts.readings.iter().filter(|reading| reading.is_once()) {
        for (message, times) in reading.times.iter().filter(|(_, times)| **times > 1) {
            let says = format!("{message} has its effect {times} times");
            findings.add(Finding::new(Rule::Doubled, says).of(reading).message(*message));
        }
    }
}

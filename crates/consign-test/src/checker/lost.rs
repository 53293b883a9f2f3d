//! Nothing accepted is lost: what a subscription has passed is applied, dead, waiting or discarded.

use super::Rule;
use super::facts::Facts;
use super::findings::{Finding, Findings};

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    for reading in &facts.readings {
        for (message, _) in facts.to_apply(reading) {
            let is_there = reading.is_applied(message) || reading.is_set_aside(message);
            if is_there || facts.is_unread(reading, message) {
                continue;
            }
            let says = match facts.place(message) {
                Some(place) => format!("{message} was passed at {place} and has no effect"),
                None => format!("{message} was accepted, is not in the log, and has no effect"),
            };
            findings.add(Finding::new(Rule::Lost, says).of(reading).message(message));
        }
    }
}

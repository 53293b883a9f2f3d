//! What a run must have met, or it proves nothing.

use std::collections::HashSet;

use super::Gate;
use super::facts::{Answer, Facts};
use crate::history::{End, What};

/// Those that were asked for and never met.
pub(super) fn missing(facts: &Facts<'_>) -> Vec<Gate> {
    facts.expected.gates.iter().filter(|gate| !is_met(facts, gate)).cloned().collect()
}

fn is_met(facts: &Facts<'_>, gate: &Gate) -> bool {
    let mut events = facts.history.events.iter().map(|event| &event.what);
    match gate {
        Gate::Redelivery => {
            let mut seen = HashSet::new();
            events.any(|what| match what {
                What::Delivered(one) => !seen.insert((&one.subscription, one.message)),
                _ => false,
            })
        }
        Gate::Fenced => events.any(|what| matches!(what, What::Applied { end: End::Fenced, .. })),
        Gate::Fault(asked) => {
            events.any(|what| matches!(what, What::Fault { kind, .. } if kind == asked))
        }
        Gate::UnknownAndLogged => has_unknown(facts, true),
        Gate::UnknownAndNotLogged => has_unknown(facts, false),
    }
}

fn has_unknown(facts: &Facts<'_>, is_logged: bool) -> bool {
    facts.publishes.iter().any(|(message, publish)| {
        publish.answer == Answer::Unknown && facts.log.contains_key(message) == is_logged
    })
}

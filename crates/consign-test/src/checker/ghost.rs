//! Nothing is invented: an effect belongs to a message that was, or may have been, accepted.

use super::facts::{Answer, Facts};
use super::findings::{Finding, Findings};
use super::{Rule, Witness};

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    for reading in &facts.readings {
        for effect in reading.first_effects() {
            if let Some(why) = why_not(facts, effect) {
                let says = format!("{} has an effect, and {why}", effect.message);
                findings.add(Finding::new(Rule::Ghost, says).of(reading).message(effect.message));
            }
        }
    }
}

fn why_not(facts: &Facts<'_>, effect: &Witness) -> Option<String> {
    let Some(publish) = facts.publishes.get(&effect.message) else {
        return Some("nobody published it".to_owned());
    };
    if publish.answer == Answer::Refused {
        return Some("its publish was refused".to_owned());
    }
    let (ours, theirs) = (&effect.key, &publish.what.key);
    (ours != theirs).then(|| format!("under the key {ours:?}: it was published under {theirs:?}"))
}

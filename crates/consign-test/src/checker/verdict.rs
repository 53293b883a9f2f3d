//! What the checker answers.

use std::fmt;

use super::Gate;
use crate::history::{Event, MessageNumber};

/// What is to be thought of a run.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It broke no rule, and met all that it had to meet.
    Valid,
    /// It broke rules: of each, the first few places.
    Invalid(Vec<Violation>),
    /// It broke no rule, and never met these: it proves nothing.
    Inconclusive(Vec<Gate>),
    /// What was noted contradicts itself, or ended too early: the test is wrong, not the library.
    InvalidRun(String),
}

impl Verdict {
    /// Fails the test unless it is [`Verdict::Valid`].
    ///
    /// # Panics
    /// With everything that was found.
    #[track_caller]
    pub fn expect_valid(&self) {
        match self {
            Self::Valid => {}
            Self::Invalid(violations) => {
                let shown = violations.iter().map(ToString::to_string).collect::<Vec<_>>();
                panic!("{} violations:\n{}", shown.len(), shown.join("\n"));
            }
            Self::Inconclusive(gates) => panic!("the run proves nothing, it never met {gates:?}"),
            Self::InvalidRun(why) => panic!("the run cannot be judged: {why}"),
        }
    }
}

/// A rule that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// An accepted message is neither applied nor accounted for.
    Lost,
    /// A message had its effect twice.
    Doubled,
    /// An effect of what was never accepted.
    Ghost,
    /// A message was applied, and given up.
    Both,
    /// A later message of a key was applied before an earlier one.
    Inversion,
    /// A later message of a key was applied while an earlier one waits.
    Gap,
    /// Effect and ledger do not say the same.
    Atomicity,
    /// An older epoch took effect after a newer one.
    Fencing,
    /// A cursor moved back, unasked.
    Cursor,
    /// The log is not what somebody was told or has read.
    Log,
    /// What a subscription says of itself is not what there is.
    Conservation,
    /// Something ended before it began, or two had one message at once.
    RealTime,
    /// What was to be done was not done in time.
    Liveness,
}

/// A place where a rule is broken, with as little as shows it.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// The subscription.
    pub subscription: Option<String>,
    /// The message.
    pub message: Option<MessageNumber>,
    /// Its key.
    pub key: Option<String>,
    /// What the run was drawn from.
    pub seed: u64,
    /// What is wrong.
    pub says: String,
    /// Up to ten events around it.
    pub around: Vec<Event>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.says)?;
        if let Some(subscription) = &self.subscription {
            write!(f, "; subscription {subscription}")?;
        }
        if let Some(key) = &self.key {
            write!(f, "; key {key}")?;
        }
        writeln!(f, "; SEED={}", self.seed)?;
        for event in &self.around {
            writeln!(f, "  {:>15} #{} {:?}", event.at.0, event.process, event.what)?;
        }
        Ok(())
    }
}

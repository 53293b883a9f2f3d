//! What a run was to keep, and what it had to meet to prove anything.

use std::time::Duration;

/// What is asked of a run.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The subscriptions, each of which has a ledger in the scan.
    pub subscriptions: Vec<Reader>,
    /// What offsets of the log are like.
    pub offsets: Offsets,
    /// How soon after the last fault and the last publish nothing is left to do. `None`: the run
    /// was ended in the middle, and may leave a backlog.
    pub drains_within: Option<Duration>,
    /// How soon a message is applied while there is no fault.
    pub applied_within: Option<Duration>,
    /// What must have happened at least once, or the run proves nothing.
    pub gates: Vec<Gate>,
}

/// A subscription, and what it promises.
#[derive(Clone, Debug)]
pub struct Reader {
    /// Its name.
    pub name: String,
    /// The topic it reads.
    pub topic: String,
    /// The kinds it names; `None`: all of them.
    pub kinds: Option<Vec<String>>,
    /// How it reads.
    pub reads: Reads,
    /// How often a message may have its effect.
    pub effects: Effects,
    /// What a message that fails does to later ones of its key.
    pub order: Order,
    /// Attempts at most.
    pub attempts_max: Option<u32>,
}

impl Reader {
    /// A stream: all of its topic, in order, once.
    #[must_use]
    pub fn stream(name: &str, topic: &str) -> Self {
        Self {
            name: name.to_owned(),
            topic: topic.to_owned(),
            kinds: None,
            reads: Reads::Stream,
            effects: Effects::Once,
            order: Order::Strict,
            attempts_max: None,
        }
    }

    /// A queue whose handler has `Tx` and whose failing keys are parked.
    #[must_use]
    pub fn queue(name: &str, topic: &str) -> Self {
        Self { reads: Reads::Queue, order: Order::PastDead, ..Self::stream(name, topic) }
    }
}

/// How a subscription reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Batches under one owner: epochs never fall in a partition.
    Stream,
    /// Messages at once: epochs never fall for a key.
    Queue,
}

/// How often a message may have its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effects {
    /// Effect and ledger commit together.
    Once,
    /// Handlers without `Tx`: after a crash some are handled again.
    AtLeastOnce,
}

/// What a message that fails does to later ones of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// They wait until it is applied or discarded.
    Strict,
    /// They wait, and go on when it is given up: a dead letter is a gap that is counted.
    PastDead,
    /// They do not wait.
    Free,
}

/// What offsets of a log are like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offsets {
    /// None is missing.
    #[default]
    Dense,
    /// They grow.
    Gaps,
}

/// Something that must have happened at least once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// A message was delivered again.
    Redelivery,
    /// A late commit was refused.
    Fenced,
    /// A fault of this kind.
    Fault(String),
    /// A publish that nobody answered, and whose message is there.
    UnknownAndLogged,
    /// A publish that nobody answered, and whose message is not there.
    UnknownAndNotLogged,
}

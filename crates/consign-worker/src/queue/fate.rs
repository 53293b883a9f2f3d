//! What a verdict makes of a message.

use super::item::Item;
use consign_core::{BoxError, Fate, Fault, Order, Reason, Retry, Verdict, fingerprint};
use std::time::SystemTime;

/// Characters of an error's text that are kept, at most.
const ERROR_CHARACTERS_MAX: usize = 2_000;

/// How a call of a handler failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What the handler answered, or a panic, or a timeout: retried by policy.
    Verdict(Verdict),
    /// Its bytes are not what its kind says.
    Undecodable(String),
}

impl Failure {
    /// The error of a failure that counts as an attempt, where there is one.
    pub(crate) fn error(&self) -> Option<&BoxError> {
        match self {
            Self::Verdict(Verdict::Retry(error)) => Some(error),
            _ => None,
        }
    }

    /// What it says, without its values: the same for all that fail for one reason.
    pub(crate) fn fingerprint(&self) -> Option<String> {
        self.error().map(|error| fingerprint(&text(error)))
    }
}

/// A subscription's policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) retry: Retry,
    pub(crate) order: Order,
}

impl Policy {
    /// What becomes of a message whose attempt failed; `jitter` is drawn from 0 to 1.
    pub(crate) fn fate(
        &self,
        attempt: u32,
        failure: Failure,
        now: SystemTime,
        jitter: f64,
    ) -> Fate {
        let (error, last) = match failure {
            Failure::Verdict(Verdict::Discard(why)) => return Fate::Discarded(cut(&why)),
            Failure::Verdict(Verdict::Reject(why)) => {
                let (reason, error) = (Reason::Rejected, cut(&why));
                return Fate::Dead { attempts: attempt, reason, error };
            }
            Failure::Verdict(Verdict::Snooze(wait)) => {
                let error = format!("it asked to be called again in {wait:?}");
                return self.again(attempt, now + wait, error);
            }
            Failure::Undecodable(why) => (cut(&why), Reason::Undecodable),
            Failure::Verdict(verdict) => (cut(&text(&verdict.into_error())), Reason::Attempts),
        };
        if self.retry.is_last(attempt) {
            return Fate::Dead { attempts: attempt, reason: last, error };
        }
        self.again(attempt + 1, now + self.retry.wait(attempt, jitter), error)
    }

    fn again(&self, attempt: u32, due: SystemTime, error: String) -> Fate {
        let parks = self.order.parks();
        Fate::Retry { attempt, due, error, parks, is_suspect: false }
    }

    /// Before a message is run that may have killed its process: the attempt counts at once.
    pub(crate) fn suspect(&self, item: &Item, now: SystemTime) -> Fate {
        let error = "the process that ran it died".to_owned();
        if self.retry.is_last(item.attempt.saturating_sub(1)) {
            let attempts = item.attempt - 1;
            return Fate::Dead { attempts, reason: Reason::Killed, error };
        }
        let parks = self.order.parks();
        let attempt = item.attempt + 1;
        Fate::Retry { attempt, due: now, error, parks, is_suspect: true }
    }

    /// It was not run after all, or not to its end, and nobody died of it: what was stored before
    /// does not count.
    pub(crate) fn still_suspect(&self, item: &Item, now: SystemTime) -> Fate {
        let error = "something was away when it was to run alone".to_owned();
        let (attempt, parks) = (item.attempt, self.order.parks());
        Fate::Retry { attempt, due: now, error, parks, is_suspect: true }
    }
}

/// A message that was perhaps in the hands of a process that died: it is tried at once, and runs
/// alone.
pub(crate) fn watched(order: Order) -> Fate {
    let error = "the process that may have run it died".to_owned();
    let (due, parks) = (SystemTime::UNIX_EPOCH, order.parks());
    Fate::Retry { attempt: 1, due, error, parks, is_suspect: true }
}

/// An error and what caused it, in one line.
pub(crate) fn text(error: &BoxError) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_says = cause.to_string();
        if !said.contains(&cause_says) {
            said = format!("{said}: {cause_says}");
        }
        source = cause.source();
    }
    said
}

fn cut(error: &str) -> String {
    error.chars().take(ERROR_CHARACTERS_MAX).collect()
}

/// Asks who is to blame where the ledger knows the error.
pub(crate) fn is_outage(fault: &Fault) -> bool {
    matches!(fault, Fault::Outage | Fault::Missing)
}

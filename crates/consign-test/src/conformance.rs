//! What every driver and every ledger promises, one file a promise, tried on any of them.
//!
//! A driver's tests implement [`Subject`], which makes a fresh broker and database, and call
//! [`try_all`]: each promise is tried on a subject of its own. Promises that need what the subject
//! says it cannot do ([`Capabilities`]) are left out, and said to be.
//!
//! # Examples
//! See `tests/it/conformance.rs` of this crate, which tries SQLite and the simulated ledger.

mod atomic;
mod changes;
mod cursor;
mod dead_letter;
mod fencing;
mod kinds;
mod marks;
mod order;
mod ownership;
mod parked;
mod place;
mod probe;
mod publish;
mod replay;
mod report;
mod restart;
mod retry;
mod rollback;
mod schedule;
mod settle;
mod subject;
mod takeover;
mod tick;
mod worker;
mod written;

pub use report::{Broken, Report};
use std::pin::Pin;
pub use subject::{Capabilities, Subject};

/// What a promise comes to.
type Kept = Result<(), Broken>;

/// A promise, and how it is tried.
struct Promise<S> {
    name: &'static str,
    /// Whether a subject that can do this much makes it.
    is_made: fn(&Capabilities) -> bool,
    attempt: for<'s> fn(&'s S) -> Pin<Box<dyn Future<Output = Kept> + 's>>,
}

/// The names of all promises.
#[must_use]
pub fn names<S: Subject>() -> Vec<&'static str> {
    promises::<S>().iter().map(|promise| promise.name).collect()
}

/// Tries each promise on a subject that `make` makes.
pub async fn try_all<S: Subject>(make: impl AsyncFn() -> S) -> Report {
    let mut report = Report::default();
    for promise in promises::<S>() {
        let subject = make().await;
        if (promise.is_made)(&subject.capabilities()) {
            report.add(promise.name, (promise.attempt)(&subject).await);
        } else {
            report.left_out.push(promise.name);
        }
    }
    report
}

/// Tries one promise; `None`: it has another name.
pub async fn try_one<S: Subject>(name: &str, subject: &S) -> Option<Result<(), Broken>> {
    let promise = promises::<S>().into_iter().find(|promise| promise.name == name)?;
    Some((promise.attempt)(subject).await)
}

/// All of them: first of the log, then of cursors and owners, then of queues, then of schedules.
fn promises<S: Subject>() -> Vec<Promise<S>> {
    let always: fn(&Capabilities) -> bool = |_| true;
    let schedules: fn(&Capabilities) -> bool = |can| can.schedules;
    vec![
        Promise {
            name: publish::NAME,
            is_made: always,
            attempt: |s| Box::pin(publish::attempt(s)),
        },
        Promise {
            name: rollback::NAME,
            is_made: |can| can.rolls_back,
            attempt: |s| Box::pin(rollback::attempt(s)),
        },
        Promise { name: order::NAME, is_made: always, attempt: |s| Box::pin(order::attempt(s)) },
        Promise {
            name: replay::NAME,
            is_made: |can| can.replays,
            attempt: |s| Box::pin(replay::attempt(s)),
        },
        Promise {
            name: changes::NAME,
            is_made: always,
            attempt: |s| Box::pin(changes::attempt(s)),
        },
        Promise { name: place::NAME, is_made: always, attempt: |s| Box::pin(place::attempt(s)) },
        Promise { name: atomic::NAME, is_made: always, attempt: |s| Box::pin(atomic::attempt(s)) },
        Promise { name: cursor::NAME, is_made: always, attempt: |s| Box::pin(cursor::attempt(s)) },
        Promise {
            name: fencing::NAME,
            is_made: always,
            attempt: |s| Box::pin(fencing::attempt(s)),
        },
        Promise {
            name: ownership::NAME,
            is_made: always,
            attempt: |s| Box::pin(ownership::attempt(s)),
        },
        Promise {
            name: takeover::NAME,
            is_made: always,
            attempt: |s| Box::pin(takeover::attempt(s)),
        },
        Promise {
            name: restart::NAME,
            is_made: always,
            attempt: |s| Box::pin(restart::attempt(s)),
        },
        Promise { name: kinds::NAME, is_made: always, attempt: |s| Box::pin(kinds::attempt(s)) },
        Promise { name: settle::NAME, is_made: always, attempt: |s| Box::pin(settle::attempt(s)) },
        Promise { name: marks::NAME, is_made: always, attempt: |s| Box::pin(marks::attempt(s)) },
        Promise { name: retry::NAME, is_made: always, attempt: |s| Box::pin(retry::attempt(s)) },
        Promise { name: parked::NAME, is_made: always, attempt: |s| Box::pin(parked::attempt(s)) },
        Promise {
            name: dead_letter::NAME,
            is_made: always,
            attempt: |s| Box::pin(dead_letter::attempt(s)),
        },
        Promise {
            name: written::NAME,
            is_made: always,
            attempt: |s| Box::pin(written::attempt(s)),
        },
        Promise {
            name: schedule::NAME,
            is_made: schedules,
            attempt: |s| Box::pin(schedule::attempt(s)),
        },
        Promise { name: tick::NAME, is_made: schedules, attempt: |s| Box::pin(tick::attempt(s)) },
    ]
}

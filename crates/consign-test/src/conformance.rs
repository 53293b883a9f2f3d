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
    is_made: Made,
    attempt: Attempt<S>,
}

/// Whether a subject that can do this much makes the promise.
type Made = fn(&Capabilities) -> bool;
type Attempt<S> = for<'s> fn(&'s S) -> Pin<Box<dyn Future<Output = Kept> + 's>>;

impl<S> Promise<S> {
    fn new(name: &'static str, is_made: Made, attempt: Attempt<S>) -> Self {
        Self { name, is_made, attempt }
    }
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
    let always: Made = |_| true;
    let schedules: Made = |can| can.schedules;
    vec![
        Promise::new(publish::NAME, always, |s| Box::pin(publish::attempt(s))),
        Promise::new(rollback::NAME, |can| can.rolls_back, |s| Box::pin(rollback::attempt(s))),
        Promise::new(order::NAME, always, |s| Box::pin(order::attempt(s))),
        Promise::new(replay::NAME, |can| can.replays, |s| Box::pin(replay::attempt(s))),
        Promise::new(changes::NAME, always, |s| Box::pin(changes::attempt(s))),
        Promise::new(place::NAME, always, |s| Box::pin(place::attempt(s))),
        Promise::new(atomic::NAME, always, |s| Box::pin(atomic::attempt(s))),
        Promise::new(cursor::NAME, always, |s| Box::pin(cursor::attempt(s))),
        Promise::new(fencing::NAME, always, |s| Box::pin(fencing::attempt(s))),
        Promise::new(ownership::NAME, always, |s| Box::pin(ownership::attempt(s))),
        Promise::new(takeover::NAME, always, |s| Box::pin(takeover::attempt(s))),
        Promise::new(restart::NAME, always, |s| Box::pin(restart::attempt(s))),
        Promise::new(kinds::NAME, always, |s| Box::pin(kinds::attempt(s))),
        Promise::new(settle::NAME, always, |s| Box::pin(settle::attempt(s))),
        Promise::new(marks::NAME, always, |s| Box::pin(marks::attempt(s))),
        Promise::new(retry::NAME, always, |s| Box::pin(retry::attempt(s))),
        Promise::new(parked::NAME, always, |s| Box::pin(parked::attempt(s))),
        Promise::new(dead_letter::NAME, always, |s| Box::pin(dead_letter::attempt(s))),
        Promise::new(written::NAME, always, |s| Box::pin(written::attempt(s))),
        Promise::new(schedule::NAME, schedules, |s| Box::pin(schedule::attempt(s))),
        Promise::new(tick::NAME, schedules, |s| Box::pin(tick::attempt(s))),
    ]
}

//! Where a worker process is killed, and that it was.

use consign_core::BoxFuture;
use consign_sql::{AtCommit, CommitPoint, Side};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Which commit a process does not outlive.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plan(Option<(Which, Side)>);

#[derive(Clone, Copy, Debug)]
enum Which {
    /// The next one of an effect.
    Effect,
    /// Of its class, so many have been before it.
    After(Class, u32),
}

/// Commits are counted by what they are of: how many are the worker's own is a matter of timing, and
/// must not move the ones of effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Effects,
    Own,
}

impl Class {
    pub(crate) const ALL: [Self; 2] = [Self::Effects, Self::Own];

    fn of(at: CommitPoint) -> Self {
        if at.messages.is_some() { Self::Effects } else { Self::Own }
    }
}

impl Plan {
    pub(crate) fn next_effect(side: Side) -> Self {
        Self(Some((Which::Effect, side)))
    }

    /// The first commit of a class is number 1.
    pub(crate) fn nth(class: Class, nth: u32, side: Side) -> Self {
        Self(Some((Which::After(class, nth - 1), side)))
    }
}

/// Where a process was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashPoint {
    nth: u32,
    at: CommitPoint,
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.at.side {
            Side::Before => "before",
            Side::After => "after",
        };
        let nth = self.nth;
        match self.at.messages {
            Some(1) => write!(f, "{side} commit {nth} of effects (1 message)"),
            Some(messages) => write!(f, "{side} commit {nth} of effects ({messages} messages)"),
            None => write!(f, "{side} commit {nth} of the worker's own bookkeeping"),
        }
    }
}

/// Kills one process: from its crash on, none of its commits goes on.
#[derive(Debug, Default)]
pub(crate) struct Crash {
    state: Mutex<State>,
    happened: Notify,
}

#[derive(Debug, Default)]
struct State {
    plan: Plan,
    is_leaving: bool,
    /// Commits so far.
    reached: Vec<(Class, Side)>,
    happened: Option<CrashPoint>,
}

impl Crash {
    pub(crate) fn planned(plan: Plan) -> Self {
        let crash = Self::default();
        crash.arm(plan);
        crash
    }

    pub(super) fn arm(&self, plan: Plan) {
        self.state().plan = plan;
    }

    /// The process works from here on.
    pub(super) fn works(&self) {
        self.state().is_leaving = false;
    }

    /// The process is to end in order, and is not killed meanwhile; `false`: it was before.
    pub(super) fn leaves(&self) -> bool {
        let mut state = self.state();
        state.is_leaving = true;
        state.happened.is_none()
    }

    /// Waits until it has happened.
    pub(super) async fn happened(&self) {
        while self.point().is_none() {
            self.happened.notified().await;
        }
    }

    pub(crate) fn point(&self) -> Option<CrashPoint> {
        self.state().happened
    }

    /// Whether the process is dead from here on.
    fn is_over(&self, at: CommitPoint) -> bool {
        let mut state = self.state();
        if state.is_leaving {
            return state.happened.is_some();
        }
        let point = (Class::of(at), at.side);
        let nth = 1 + count(state.reached.iter().filter(|reached| **reached == point));
        state.reached.push(point);
        let is_here = state.plan.0.is_some_and(|(which, side)| {
            let is_it = match which {
                Which::Effect => at.messages.is_some(),
                Which::After(class, others) => class == point.0 && nth > others,
            };
            is_it && side == at.side
        });
        if is_here && state.happened.is_none() {
            state.happened = Some(CrashPoint { nth, at });
        }
        state.happened.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AtCommit for Crash {
    fn reached(&self, point: CommitPoint) -> BoxFuture<'_, ()> {
        if !self.is_over(point) {
            return Box::pin(std::future::ready(()));
        }
        self.happened.notify_one();
        Box::pin(std::future::pending())
    }
}

fn count(commits: impl Iterator) -> u32 {
    u32::try_from(commits.count()).expect("a test is short")
}

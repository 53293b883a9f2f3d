//! What a torture has come to.

use crate::harness::CrashPoint;
use std::fmt::{self, Debug};

/// Differences that are shown, at most.
const SHOWN_MAX: usize = 5;

/// What a torture has come to; from [`torture`](super::torture()).
#[derive(Clone, Debug)]
pub struct Report<S> {
    /// The end state without a crash.
    pub clean: S,
    /// How often a worker was killed.
    pub crashes: u32,
    /// The crashes after which the end was another one.
    pub differences: Vec<Difference<S>>,
}

/// An end that is not as without a crash.
#[derive(Clone, Debug)]
pub struct Difference<S> {
    /// Where the worker was killed; `None`: nowhere, the scenario did not get so far this time.
    pub crash: Option<CrashPoint>,
    /// The end state, or what the scenario failed with.
    pub end: Result<S, String>,
}

impl<S: PartialEq + Debug> Report<S> {
    pub(super) fn add(&mut self, crash: Option<CrashPoint>, end: Result<S, String>) {
        self.crashes += u32::from(crash.is_some());
        if end.as_ref() != Ok(&self.clean) {
            self.differences.push(Difference { crash, end });
        }
    }

    /// Passes where every crash has left the end as it was.
    ///
    /// # Panics
    /// With this report, where one has not.
    #[track_caller]
    pub fn assert_same(&self) {
        assert!(self.differences.is_empty(), "{self}");
    }
}

impl<S: Debug> fmt::Display for Report<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clean, crashes, differences } = self;
        if differences.is_empty() {
            return write!(f, "{crashes} crashes, and the end is the same after each: {clean:?}");
        }
        writeln!(f, "{crashes} crashes, and after {} the end is another one;", differences.len())?;
        write!(f, "without a crash:\n    {clean:?}")?;
        for Difference { crash, end } in differences.iter().take(SHOWN_MAX) {
            match crash {
                Some(crash) => write!(f, "\ncrashed {crash}:\n    ")?,
                None => write!(f, "\nwithout a crash, this time:\n    ")?,
            }
            match end {
                Ok(end) => write!(f, "{end:?}")?,
                Err(error) => write!(f, "it fails: {error}")?,
            }
        }
        let more = differences.len().saturating_sub(SHOWN_MAX);
        if more > 0 { write!(f, "\nand {more} more") } else { Ok(()) }
    }
}

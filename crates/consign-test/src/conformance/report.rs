//! Which promises were kept.

use consign_core::Error;
use std::fmt;

/// Which promises were kept.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Those that were kept.
    pub kept: Vec<&'static str>,
    /// Those that were not made, for want of a capability.
    pub left_out: Vec<&'static str>,
    /// Those that were broken, and how.
    pub broken: Vec<(&'static str, Broken)>,
}

impl Report {
    pub(super) fn add(&mut self, name: &'static str, kept: Result<(), Broken>) {
        match kept {
            Ok(()) => self.kept.push(name),
            Err(broken) => self.broken.push((name, broken)),
        }
    }

    /// Passes where all promises were kept that were made.
    ///
    /// # Panics
    /// With the broken ones.
    #[track_caller]
    pub fn assert_kept(&self) {
        assert!(self.broken.is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kept, left_out, broken) = (self.kept.len(), self.left_out.len(), self.broken.len());
        write!(f, "{kept} promises kept, {broken} broken, {left_out} left out")?;
        for (name, broken) in &self.broken {
            write!(f, "\nbroken: {name}: {broken}")?;
        }
        for name in &self.left_out {
            write!(f, "\nleft out: {name}")?;
        }
        Ok(())
    }
}

/// How a promise was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(String);

impl Broken {
    pub(super) fn new(how: impl Into<String>) -> Self {
        Self(how.into())
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self(format!("it failed: {error}"))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Both are the same, or the promise is broken.
pub(super) fn same<T: PartialEq + fmt::Debug>(
    what: &str,
    found: &T,
    wanted: &T,
) -> Result<(), Broken> {
    if found == wanted {
        return Ok(());
    }
    Err(Broken::new(format!("{what}: {found:?}, and not {wanted:?}")))
}

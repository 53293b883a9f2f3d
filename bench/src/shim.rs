//! Makes every sync of a child process slower: a disk whose syncs cost more than this one's.

use crate::Result;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SOURCE: &str = include_str!("slowsync.c");

/// A library to be loaded before all others.
pub(crate) struct Shim {
    library: PathBuf,
    extra: Duration,
}

impl Shim {
    /// Compiles it into `folder`; a sync that costs `real` here then costs `wanted`.
    pub(crate) fn compile(folder: &Path, real: Duration, wanted: Duration) -> Result<Self> {
        let (source, library) = (folder.join("slowsync.c"), folder.join("slowsync.so"));
        std::fs::write(&source, SOURCE)?;
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
        let compiled = cc.status().map_err(|error| format!("cannot start cc: {error}"))?;
        if !compiled.success() {
            return Err("cc cannot compile slowsync.c".into());
        }
        Ok(Self { library, extra: wanted.saturating_sub(real) })
    }

    pub(crate) fn slow_down(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library);
        command.env("FSYNC_EXTRA_US", self.extra.as_micros().to_string());
    }
}

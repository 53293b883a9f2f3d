//! Programs of bench/peers and bench/honker, each built with a library that is compared with.

use crate::Result;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A peer's program: `fill DATABASE MESSAGES`, or a way to drain until its standard input closes.
#[derive(Debug)]
pub(crate) struct Peer(PathBuf);

impl Peer {
    /// `None`, and a sentence about it: it was not built.
    pub(crate) fn find(name: &str) -> Result<Option<Self>> {
        let program = std::env::current_exe()?.with_file_name(format!("consign-bench-{name}"));
        if program.exists() {
            return Ok(Some(Self(program)));
        }
        println!(
            "  {name} is not measured, it was not built: `cargo xtask bench` builds all peers"
        );
        Ok(None)
    }

    pub(crate) fn fill(&self, database: &Path, messages: i64, way: &str) -> Result {
        let mut fill = Command::new(&self.0);
        fill.arg(format!("fill-{way}")).arg(database).arg(messages.to_string());
        let ended = fill.status()?;
        if ended.success() { Ok(()) } else { Err(format!("a peer's filling {ended}").into()) }
    }

    pub(crate) fn drain(&self, database: &Path, way: &str) -> Result<Draining> {
        let mut drain = Command::new(&self.0);
        drain.arg(way).arg(database).stdin(Stdio::piped());
        Ok(Draining(drain.spawn()?))
    }
}

/// A peer at work; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Draining(Child);

impl Drop for Draining {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

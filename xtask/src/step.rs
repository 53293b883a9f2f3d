//! One command of a task: said before it runs, and timed.

use std::ffi::OsStr;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Result;

/// The Cargo that runs us, so that a task stays with one toolchain.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs `command` on our own terminal and answers whether it succeeded.
pub(crate) fn run(command: &mut Command) -> Result<bool> {
    say(command);
    let status = command.status().map_err(|error| cannot_start(command, &error))?;
    Ok(status.success())
}

pub(crate) fn say(command: &Command) {
    println!("\n$ {}", line(command));
}

pub(crate) fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!("cannot start `{}`: {error}", line(command))
}

pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let answer = work();
    (answer, start.elapsed())
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

//! The Rust tests: every test program and doc test of the workspace, by plain `cargo test`.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use super::count::Counts;
use crate::workspace::Workspace;
use crate::{Result, step};

/// Builds all test programs; answers the blog's own, which the browser tests start.
pub(super) fn build(workspace: &Workspace) -> Result<Option<PathBuf>> {
    let mut command = workspace.command(step::cargo());
    command.args(["test", "--workspace", "--no-run"]);
    command.arg("--message-format=json-render-diagnostics");
    let mut blog = None;
    let good = each_line(&mut command, |line| {
        if let Some(executable) = blog_executable(line) {
            blog = Some(executable);
        }
    })?;
    if good { Ok(blog) } else { Err("the tests do not build".into()) }
}

/// Runs them all, the doc tests too, and shows what they print.
pub(super) fn test(workspace: &Workspace) -> Result<Counts> {
    let mut command = workspace.command(step::cargo());
    command.args(["test", "--workspace", "--no-fail-fast"]);
    let mut counts = Vec::new();
    let good = each_line(&mut command, |line| {
        println!("{line}");
        counts.extend(Counts::of_rust_line(line));
    })?;
    let mut total: Counts = counts.into_iter().sum();
    if !good && total.failed == 0 {
        println!("a test program died, or a doc test did not build: counted as one failure");
        total.failed = 1;
    }
    Ok(total)
}

/// Hands each line of the command's output to `take`; answers whether the command succeeded.
fn each_line(command: &mut Command, mut take: impl FnMut(&str)) -> Result<bool> {
    step::say(command);
    std::io::stdout().flush()?;
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child: Child = started.map_err(|error| step::cannot_start(command, &error))?;
    let output = child.stdout.take().ok_or("the output of a command cannot be read")?;
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        take(String::from_utf8_lossy(&line).trim_end_matches('\n'));
        line.clear();
    }
    Ok(child.wait()?.success())
}

/// A line of Cargo's about something it has built.
#[derive(Deserialize)]
struct Artifact {
    target: Target,
    executable: Option<PathBuf>,
    profile: Profile,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

fn blog_executable(line: &str) -> Option<PathBuf> {
    let artifact: Artifact = serde_json::from_str(line).ok()?;
    let is_the_blog = artifact.target.name == "blog" && !artifact.profile.test;
    artifact.executable.filter(|_| is_the_blog)
}

//! `cargo xtask bench`: builds the blog and the figures' program for speed, and measures.

use std::process::{Command, ExitCode};

use crate::workspace::Workspace;
use crate::{Result, exit_code, step};

/// Each is a workspace of its own, so that nobody else has its dependencies.
const PEERS: [&str; 2] = ["bench/honker/Cargo.toml", "bench/peers/Cargo.toml"];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which figures (all of them unless some are named), and how: `--help` after `--` tells
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let blog = ["build", "--release", "--package", "blog"];
    // A workspace of its own, below the same target/.
    let figures = ["build", "--release", "--manifest-path", "bench/Cargo.toml", "--target-dir"];
    let mut builds = [workspace.command(step::cargo()), workspace.command(step::cargo())];
    builds[0].args(blog);
    builds[1].args(figures).arg(&workspace.target);
    for build in &mut builds {
        if !step::run(build)? {
            return Ok(ExitCode::FAILURE);
        }
    }
    build_peers(workspace)?;
    let measure = Command::new(workspace.target.join("release/consign-bench"));
    Ok(exit_code(step::run(workspace.command(measure).args(&options.words))?))
}

/// Builds what the figures are compared with; they say which of it was not there.
fn build_peers(workspace: &Workspace) -> Result<()> {
    for peer in PEERS {
        let mut build = workspace.command(step::cargo());
        build.args(["build", "--release", "--locked", "--manifest-path", peer, "--target-dir"]);
        if !step::run(build.arg(&workspace.target))? {
            println!("{peer} cannot be built, and is not measured");
        }
    }
    Ok(())
}

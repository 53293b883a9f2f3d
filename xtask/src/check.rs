//! `cargo xtask check`: format, lints, documentation, tidiness, then further tools if they are installed.

use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::workspace::Workspace;
use crate::{Result, exit_code, step, tidy};

/// Not needed to work here, and run where somebody has them: `cargo install NAME` brings each.
const FURTHER_TOOLS: [(&str, &[&str]); 4] = [
    ("cargo-deny", &["cargo-deny", "check", "--hide-inclusion-graph"]),
    ("typos", &["typos"]),
    ("cargo-sort", &["cargo-sort", "--workspace", "--check"]),
    ("cargo-machete", &["cargo-machete"]),
];

pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let mut outcomes = Vec::new();
    for (name, mut command) in cargo_steps(workspace) {
        let (good, took) = step::timed(|| step::run(&mut command));
        outcomes.push((name, good?, took));
    }
    let (good, took) = step::timed(|| tidy::run(workspace));
    outcomes.push(("tidy", good?, took));
    further_tools(workspace, &mut outcomes)?;
    print_summary(&outcomes);
    Ok(exit_code(outcomes.iter().all(|(_, good, _)| *good)))
}

fn cargo_steps(workspace: &Workspace) -> [(&'static str, Command); 7] {
    let cargo = |arguments: &[&str]| {
        let mut command = workspace.command(step::cargo());
        command.args(arguments);
        command
    };
    let fmt = |manifest| cargo(&["fmt", "--manifest-path", manifest, "--", "--check"]);
    let mut documentation = cargo(&["doc", "--workspace", "--no-deps"]);
    documentation.env("RUSTDOCFLAGS", "-D warnings");
    // The figures are a workspace of their own; what nobody compiles rots.
    let mut figures = cargo(&["clippy", "--manifest-path", "bench/Cargo.toml", "--locked"]);
    figures.arg("--target-dir").arg(&workspace.target);
    figures.args(["--all-targets", "--", "-D", "warnings"]);
    [
        ("fmt", cargo(&["fmt", "--all", "--", "--check"])),
        ("bench: fmt", fmt("bench/Cargo.toml")),
        ("honker: fmt", fmt("bench/honker/Cargo.toml")),
        ("peers: fmt", fmt("bench/peers/Cargo.toml")),
        ("clippy", cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
        ("bench: clippy", figures),
        ("doc", documentation),
    ]
}

fn further_tools(
    workspace: &Workspace,
    outcomes: &mut Vec<(&'static str, bool, Duration)>,
) -> Result<()> {
    for (name, words) in FURTHER_TOOLS {
        let mut command = workspace.command(Command::new(words[0]));
        if Command::new(words[0]).arg("--version").output().is_err() {
            println!("{name} is not installed: left out");
            continue;
        }
        let (good, took) = step::timed(|| step::run(command.args(&words[1..])));
        outcomes.push((name, good?, took));
    }
    Ok(())
}

fn print_summary(outcomes: &[(&str, bool, Duration)]) {
    println!();
    for (name, good, took) in outcomes {
        let word = if *good { "good" } else { "BAD" };
        println!("{name:<16}{word:<6}{:>7.1} s", took.as_secs_f64());
    }
}

//! The commands of this repository: `cargo xtask test`, `cargo xtask check`, `cargo xtask bench`.
#![allow(clippy::print_stdout, reason = "a program for people, who read what it prints")]

mod bench;
mod check;
mod debian;
mod step;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// What the tasks answer; the error is a sentence for the person at the terminal.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "The commands of this repository")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Set up what the tests need, run all of them and count them
    Test(test::Options),
    /// Check format, lints, documentation and tidiness
    Check,
    /// Measure the figures, in release builds: `cargo xtask bench [FIGURE...] [--runs N]`
    Bench(bench::Options),
    /// Check tidiness alone: arrows between crates, forgotten files, links
    Tidy,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run(&arguments.task).unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

fn run(task: &Task) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    match task {
        Task::Test(options) => test::run(&workspace, options),
        Task::Check => check::run(&workspace),
        Task::Bench(options) => bench::run(&workspace, options),
        Task::Tidy => Ok(exit_code(tidy::run(&workspace)?)),
    }
}

fn exit_code(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

//! `cargo xtask test`: sets up what the tests need, runs all of them, ends with `N passed, N failed`.

mod browser;
mod count;
mod modules;
mod rust;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use self::count::Counts;
use crate::debian::{self, Readiness, Tool};
use crate::workspace::Workspace;
use crate::{Result, exit_code, step};

#[derive(Args)]
pub(crate) struct Options {
    /// Leave the browser tests out: not the whole test, for your own use
    #[arg(long)]
    no_browser: bool,
}

/// What a person has to do first is neither a pass nor a failed test.
const EXIT_NOT_READY: u8 = 2;

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    if let Readiness::Run(line) = debian::ensure(&tools(options))? {
        println!(
            "the tests need packages that are not installed; run this, then try again:\n{line}"
        );
        return Ok(ExitCode::from(EXIT_NOT_READY));
    }
    let parts = parts(workspace, options);
    let total = parts.iter().map(|part| part.counts).sum();
    print_summary(&parts, options, total);
    Ok(exit_code(total.failed == 0))
}

const TOOLS: [&Tool; 2] = [&debian::C_COMPILER, &debian::KILL];
const BROWSER_TOOLS: [&Tool; 4] =
    [&debian::CHROMIUM, &debian::NODE, &debian::NPM, &debian::OPENSSL];

fn tools(options: &Options) -> Vec<&'static Tool> {
    let browser = if options.no_browser { &[] } else { BROWSER_TOOLS.as_slice() };
    [&TOOLS, browser].concat()
}

/// Runs part after part; one that fails does not keep the next from running, unless that one needs it.
fn parts(workspace: &Workspace, options: &Options) -> Vec<Part> {
    let mut blog = None;
    let build = Part::run("build", || {
        blog = rust::build(workspace)?;
        Ok(None)
    });
    if build.counts.failed > 0 {
        return vec![build];
    }
    let mut parts = vec![build, Part::run("cargo test", || rust::test(workspace).map(Some))];
    if !options.no_browser {
        let install = Part::run("npm packages", || modules::install(workspace).map(|()| None));
        let installed = install.counts.failed == 0;
        parts.push(install);
        if installed {
            parts.push(Part::run("browser", || browser::test(workspace, blog).map(Some)));
        }
    }
    parts
}

/// One part of the test: how it went, and how long it took.
struct Part {
    name: &'static str,
    counts: Counts,
    took: Duration,
    /// Why it could not run to its end.
    trouble: Option<String>,
}

impl Part {
    /// Runs `work`, which answers the tests it counted, or `None` where it only prepares. What cannot run, and a run
    /// of no test at all, counts as one failure.
    fn run(name: &'static str, work: impl FnOnce() -> Result<Option<Counts>>) -> Self {
        let (answer, took) = step::timed(work);
        let (mut counts, trouble) = match answer {
            Ok(Some(counts)) if counts.is_empty() => (counts, Some("ran no test".to_owned())),
            Ok(counts) => (counts.unwrap_or_default(), None),
            Err(error) => (Counts::default(), Some(error.to_string())),
        };
        counts.failed += u64::from(trouble.is_some());
        Self { name, counts, took, trouble }
    }
}

fn print_summary(parts: &[Part], options: &Options, total: Counts) {
    println!();
    for part in parts {
        let seconds = part.took.as_secs_f64();
        let said = part.trouble.clone().unwrap_or_else(|| part.counts.to_string());
        println!("{:<14}{seconds:>7.1} s  {said}", part.name);
    }
    if total.ignored > 0 {
        println!("{} tests were ignored: they count as neither", total.ignored);
    }
    if options.no_browser {
        println!("NOT THE WHOLE TEST: the browser tests were left out");
    }
    println!("\n{} passed, {} failed", total.passed, total.failed);
}

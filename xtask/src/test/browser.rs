//! The browser tests in `e2e/`: Node drives Debian's Chromium against the blog that was just built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::count::Counts;
use super::modules;
use crate::workspace::Workspace;
use crate::{Result, debian, step};

pub(super) fn test(workspace: &Workspace, blog: Option<PathBuf>) -> Result<Counts> {
    let blog =
        blog.ok_or("the blog's program was not built: it needs a test program in apps/blog/tests")?;
    let chromium = debian::CHROMIUM.find().ok_or("no Chromium in PATH")?;
    let report = modules::directory(workspace).join("report.tap");
    let mut node = workspace.command(Command::new("node"));
    node.args(["--test", "--test-reporter=spec", "--test-reporter-destination=stdout"])
        .arg("--test-reporter=tap")
        .arg(format!("--test-reporter-destination={}", report.display()))
        .args(files(&workspace.root)?)
        .env("CONSIGN_BLOG_BIN", blog)
        .env("CONSIGN_CHROMIUM", chromium)
        .env("CONSIGN_E2E_MODULES", modules::directory(workspace));
    // An older run's report must not be counted as this one's.
    if report.exists() {
        fs::remove_file(&report)?;
    }
    let good = step::run(&mut node)?;
    let text = fs::read_to_string(&report)?;
    let mut counts =
        Counts::of_node_report(&text).ok_or("the browser tests ended without a count")?;
    if !good && counts.failed == 0 {
        counts.failed = 1;
    }
    Ok(counts)
}

fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join("e2e/tests"))? {
        let name = entry?.file_name();
        if name.to_string_lossy().ends_with(".test.mjs") {
            files.push(Path::new("e2e/tests").join(name));
        }
    }
    files.sort();
    Ok(files)
}

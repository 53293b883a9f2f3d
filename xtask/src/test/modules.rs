//! The npm packages of the browser tests, as `e2e/package-lock.json` names them, under `target/`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::workspace::Workspace;
use crate::{Result, step};

const MANIFESTS: [&str; 2] = ["package.json", "package-lock.json"];

/// The folder that holds `node_modules`.
pub(super) fn directory(workspace: &Workspace) -> PathBuf {
    workspace.target.join("e2e")
}

/// Installs the packages, unless the lock file is the one they were installed from.
pub(super) fn install(workspace: &Workspace) -> Result<()> {
    let directory = directory(workspace);
    let lock = fs::read(workspace.root.join("e2e/package-lock.json"))?;
    let installed = directory.join("installed-lock.json");
    if fs::read(&installed).is_ok_and(|earlier| earlier == lock) {
        return Ok(());
    }
    fs::create_dir_all(&directory)?;
    for name in MANIFESTS {
        fs::copy(workspace.root.join("e2e").join(name), directory.join(name))?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(&directory);
    // The browser is Debian's; a download would fail where there is no way out.
    if !step::run(npm.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1"))? {
        return Err("npm cannot install the packages of the browser tests".into());
    }
    // Written last: an installation that was cut off is done again.
    Ok(fs::write(installed, lock)?)
}

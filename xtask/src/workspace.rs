//! What Cargo says about this workspace: where it lies, its crates, whom they depend on.

use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use crate::Result;
use crate::step::cargo;

#[derive(Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None`, `dev` or `build`.
    kind: Option<String>,
    pub(crate) features: Vec<String>,
    /// Where it lies, if it is one of ours.
    pub(crate) path: Option<PathBuf>,
}

impl Workspace {
    pub(crate) fn load() -> Result<Self> {
        let output = cargo().args(["metadata", "--format-version=1", "--no-deps"]).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// A command that runs at the root of the workspace.
    pub(crate) fn command(&self, mut command: Command) -> Command {
        command.current_dir(&self.root);
        command
    }
}

impl Dependency {
    /// Tests and benchmarks alone see it.
    pub(crate) fn is_for_tests(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

//! The Debian packages that the tests need: found, installed, or named in one line to run.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{Result, step};

/// Something to run, under any of its names, and the packages that bring it.
pub(crate) struct Tool {
    executables: &'static [&'static str],
    packages: &'static [&'static str],
}

pub(crate) const C_COMPILER: Tool = Tool { executables: &["cc"], packages: &["gcc", "libc6-dev"] };
/// Stops and ends the processes that tests start.
pub(crate) const KILL: Tool = Tool { executables: &["kill"], packages: &["procps"] };
pub(crate) const CHROMIUM: Tool = Tool {
    executables: &["chromium", "chromium-browser", "google-chrome"],
    packages: &["chromium"],
};
pub(crate) const NODE: Tool = Tool { executables: &["node"], packages: &["nodejs"] };
/// Makes the certificate of the tests that need https.
pub(crate) const OPENSSL: Tool = Tool { executables: &["openssl"], packages: &["openssl"] };
pub(crate) const NPM: Tool = Tool { executables: &["npm"], packages: &["npm"] };

/// Whether the tools are there now.
pub(crate) enum Readiness {
    Ready,
    /// They are not, and we may not install them; this line does.
    Run(String),
}

/// Installs what is missing of `tools` if we may, and says so.
pub(crate) fn ensure(tools: &[&Tool]) -> Result<Readiness> {
    let packages = missing_packages(tools);
    if packages.is_empty() {
        return Ok(Readiness::Ready);
    }
    let Some(rights) = Rights::find() else {
        return Ok(Readiness::Run(by_hand(&packages)));
    };
    println!("installing what the tests need from Debian: {}", packages.join(" "));
    let installed = step::run(rights.apt_get().arg("update"))?
        && step::run(
            rights.apt_get().args(["install", "-y", "--no-install-recommends"]).args(&packages),
        )?;
    if !installed || !missing_packages(tools).is_empty() {
        return Err(format!("cannot install {}", packages.join(" ")).into());
    }
    Ok(Readiness::Ready)
}

impl Tool {
    pub(crate) fn find(&self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
        self.executables
            .iter()
            .flat_map(|name| directories.iter().map(move |directory| directory.join(name)))
            .find(|candidate| candidate.is_file())
    }
}

fn missing_packages(tools: &[&Tool]) -> Vec<&'static str> {
    let missing = tools.iter().filter(|tool| tool.find().is_none());
    missing.flat_map(|tool| tool.packages.iter().copied()).collect()
}

fn by_hand(packages: &[&str]) -> String {
    format!(
        "sudo apt-get update && sudo apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    )
}

/// How we may install a package.
enum Rights {
    Root,
    Sudo,
}

impl Rights {
    fn find() -> Option<Self> {
        if !succeeds(Command::new("apt-get").arg("--version")) {
            return None;
        }
        let id = Command::new("id").arg("-u").output().ok()?;
        if id.stdout.trim_ascii() == b"0" {
            return Some(Self::Root);
        }
        succeeds(Command::new("sudo").args(["-n", "true"])).then_some(Self::Sudo)
    }

    fn apt_get(&self) -> Command {
        let mut command = match self {
            Self::Root => Command::new("env"),
            Self::Sudo => {
                let mut sudo = Command::new("sudo");
                sudo.args(["-n", "env"]);
                sudo
            }
        };
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]).stdin(Stdio::null());
        command
    }
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

//! What the compiler says about a mistake: each `tests/ui/NAME.rs` must be refused, and the lines
//! of `NAME.stderr` must stand in the refusal, in this order.
//!
//! Whole lines of rustc are not compared, as trybuild does: half of the cases are answered by rustc
//! itself, whose notes change with each version, and a new toolchain must not fail our tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[test]
fn every_mistake_is_answered_with_what_to_write() {
    let cases = Case::all();
    let output = check(&Project::write(&cases));
    let refusals = refusals(&output);
    let complaints = cases.iter().filter_map(|case| case.complaint(&refusals)).collect::<Vec<_>>();
    assert!(
        complaints.is_empty(),
        "{}\ncargo said:\n{}",
        complaints.join("\n"),
        String::from_utf8_lossy(&output.stderr)
    );
}

struct Case {
    name: String,
    source: PathBuf,
    expected: String,
}

impl Case {
    fn all() -> Vec<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
        let files = fs::read_dir(&directory).expect("tests/ui is there");
        let mut sources = files.map(|file| file.expect("readable").path()).collect::<Vec<_>>();
        sources.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
        sources.sort();
        assert!(!sources.is_empty(), "no case in {}", directory.display());
        sources.into_iter().map(Self::of).collect()
    }

    fn of(source: PathBuf) -> Self {
        let name = source.file_stem().expect("a file").to_string_lossy().into_owned();
        let expected = fs::read_to_string(source.with_extension("stderr"))
            .unwrap_or_else(|error| panic!("{name}.rs has no {name}.stderr beside it: {error}"));
        assert!(!expected.trim().is_empty(), "{name}.stderr is empty");
        Self { name, source, expected }
    }

    fn complaint(&self, refusals: &[Refusal]) -> Option<String> {
        let own = refusals.iter().filter(|refusal| refusal.case == self.name).collect::<Vec<_>>();
        if own.is_empty() {
            return Some(format!("{}.rs compiles", self.name));
        }
        let said = own.iter().map(|refusal| refusal.rendered.as_str()).collect::<String>();
        let unexpected = own.iter().find(|refusal| !self.expects(refusal));
        let complaint = match (self.first_missing(&said), unexpected) {
            (Some(line), _) => format!("does not say (in this order) {line:?}"),
            (None, Some(refusal)) => format!("says more than expected: {}", refusal.message),
            (None, None) => return None,
        };
        Some(format!("{}.rs {complaint}; all of it:\n{said}", self.name))
    }

    fn expects(&self, refusal: &Refusal) -> bool {
        let title = refusal.rendered.lines().next().unwrap_or_default();
        self.expected.lines().any(|line| title.contains(line))
    }

    /// The first expected line that the compiler does not say after those before it.
    fn first_missing(&self, said: &str) -> Option<&str> {
        let mut lines = said.lines();
        self.expected.lines().find(|expected| !lines.any(|line| line.contains(expected)))
    }
}

/// One error of the compiler about one case.
struct Refusal {
    case: String,
    message: String,
    rendered: String,
}

fn refusals(output: &Output) -> Vec<Refusal> {
    let messages = String::from_utf8_lossy(&output.stdout);
    messages.lines().filter_map(|line| refusal(&serde_json::from_str(line).ok()?)).collect()
}

fn refusal(line: &serde_json::Value) -> Option<Refusal> {
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let (case, message) = (text(&line["target"]["name"])?, text(&line["message"]["message"])?);
    let counts_the_others = message.starts_with("aborting due to");
    let is_error = line["message"]["level"] == "error" && !counts_the_others;
    is_error.then_some(())?;
    Some(Refusal { case, message, rendered: text(&line["message"]["rendered"])? })
}

/// A package of its own, with one binary a case, as a user would write it.
struct Project {
    directory: PathBuf,
}

impl Project {
    fn write(cases: &[Case]) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ui");
        let binaries = directory.join("src/bin");
        if binaries.exists() {
            fs::remove_dir_all(&binaries).expect("the last run's cases can go");
        }
        fs::create_dir_all(&binaries).expect("the target directory is writable");
        for case in cases {
            let file = binaries.join(&case.name).with_extension("rs");
            fs::copy(&case.source, file).expect("a case can be copied");
        }
        fs::write(directory.join("Cargo.toml"), manifest()).expect("the manifest can be written");
        fs::copy(workspace().join("Cargo.lock"), directory.join("Cargo.lock"))
            .expect("the workspace has a lock file");
        Self { directory }
    }
}

/// The lock file is the workspace's, so nothing is fetched, and nothing is newer than what is built.
fn check(project: &Project) -> Output {
    Command::new(env!("CARGO"))
        .args(["check", "--bins", "--keep-going", "--offline", "--message-format=json"])
        .current_dir(&project.directory)
        .output()
        .expect("cargo runs")
}

fn manifest() -> String {
    let facade = env!("CARGO_MANIFEST_DIR");
    format!(
        r#"[package]
name = "ui"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
consign = {{ path = {facade:?} }}
serde = {{ version = "1", features = ["derive"] }}
sqlx = {{ version = "0.9", default-features = false, features = ["runtime-tokio", "sqlite"] }}
"#
    )
}

fn workspace() -> &'static Path {
    let facade = Path::new(env!("CARGO_MANIFEST_DIR"));
    facade.ancestors().nth(2).expect("the facade is crates/consign of the workspace")
}

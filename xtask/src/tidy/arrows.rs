//! The arrows of the crate graph: which crate may name which.

use super::Problem;
use crate::workspace::{Dependency, Package, Workspace};

/// Which of our crates each crate names outside its tests.
const ARROWS: [(&str, &[&str]); 8] = [
    ("consign-core", &[]),
    ("consign-macros", &[]),
    ("consign-sql", &["consign-core"]),
    ("consign-worker", &["consign-core"]),
    // what stands on SQLite is behind the feature `harness`: no driver's tests build it
    ("consign-test", &["consign", "consign-core", "consign-sql", "consign-worker"]),
    ("consign", &["consign-core", "consign-macros", "consign-sql", "consign-worker"]),
    ("blog", &["consign"]),
    ("xtask", &[]),
];

/// What only some crates may name outside their tests, by the start of its name.
const CONFINED: [(&str, &[&str]); 7] = [
    ("sqlx", &["consign-sql", "consign", "consign-test", "blog"]),
    // `consign` shows it behind a feature of that name
    ("rusqlite", &["consign-sql", "consign"]),
    ("libsqlite3-sys", &["consign-sql"]),
    ("notify", &["consign-sql"]),
    // a handler's `State` and `FromRef`, behind a feature of that name
    ("axum", &["blog", "consign-worker"]),
    ("hyper", &["blog"]),
    ("clap", &["blog", "xtask"]),
];

/// All that the vocabulary needs; everything else would reach every crate.
const CORE: [&str; 6] = ["bytes", "jiff", "serde", "serde_json", "tokio", "uuid"];

pub(super) fn problems(workspace: &Workspace) -> Vec<Problem> {
    workspace.packages.iter().flat_map(package_problems).collect()
}

fn package_problems(package: &Package) -> Vec<Problem> {
    let Some((_, arrows)) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
        let what = format!("the crate {} has no line in xtask/src/tidy/arrows.rs", package.name);
        return vec![Problem::new("Cargo.toml", 0, what)];
    };
    let outside_tests = package.dependencies.iter().filter(|one| !one.is_for_tests());
    outside_tests.filter_map(|one| dependency_problem(&package.name, arrows, one)).collect()
}

fn dependency_problem(name: &str, arrows: &[&str], dependency: &Dependency) -> Option<Problem> {
    let allowed = if dependency.path.is_some() {
        arrows.contains(&dependency.name.as_str())
    } else {
        may_use(name, dependency)
    };
    let what = format!("{name} must not depend on {}", dependency.name);
    (!allowed).then(|| Problem::new("Cargo.toml", 0, what))
}

fn may_use(name: &str, dependency: &Dependency) -> bool {
    if name == "consign-core" {
        return CORE.contains(&dependency.name.as_str()) && !runs_tasks(dependency);
    }
    let confined = CONFINED.iter().filter(|(start, _)| dependency.name.starts_with(start));
    confined.into_iter().all(|(_, users)| users.contains(&name))
}

/// Of tokio, core may name what two tasks share, not what starts one.
fn runs_tasks(dependency: &Dependency) -> bool {
    dependency.name == "tokio" && dependency.features.iter().any(|feature| feature != "sync")
}

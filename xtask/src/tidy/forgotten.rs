//! Files that nobody compiles, and words that mean "later".

use super::Problem;
use super::tree::{File, Tree, numbered};

/// Written in two halves, so that this file does not hold them.
const WORDS: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
];

pub(super) fn problems(tree: &Tree) -> Vec<Problem> {
    let ours = tree.files.iter().filter(|file| !file.is_foreign());
    let mut problems: Vec<Problem> = ours.flat_map(words).collect();
    problems.extend(tree.rust().filter_map(|file| module_problem(tree, file)));
    problems.extend(tree.rust().filter_map(test_program_problem));
    problems
}

fn words(file: &File) -> Vec<Problem> {
    let found = numbered(&file.text).filter_map(|(number, line)| {
        let word = WORDS.iter().find(|word| line.contains(*word))?;
        Some(Problem::new(&file.path, number, format!("`{word}`: do it, or file an issue")))
    });
    found.collect()
}

/// A source file that no other file names as its module is never compiled, and its tests never run.
fn module_problem(tree: &Tree, file: &File) -> Option<Problem> {
    let (parents, name) = parents_of(&file.path)?;
    let declaration = format!("mod {name};");
    let parents: Vec<&File> = parents.iter().filter_map(|parent| tree.get(parent)).collect();
    let mut lines = parents.iter().flat_map(|parent| parent.text.lines());
    if lines.any(|line| line.trim_end().ends_with(&declaration)) {
        return None;
    }
    let paths: Vec<&str> = parents.iter().map(|parent| parent.path.as_str()).collect();
    let what = format!("is never compiled: no `{declaration}` in {}", paths.join(" or "));
    Some(Problem::new(&file.path, 0, what))
}

/// The files that may declare the module in `path`, and its name; `None` for the root of a program or library.
fn parents_of(path: &str) -> Option<(Vec<String>, &str)> {
    let (folder, file) = path.rsplit_once('/')?;
    let name = file.strip_suffix(".rs")?;
    let in_sources = format!("{path}/").contains("/src/") || folder.contains("/tests/it");
    let is_root = matches!(name, "main" | "lib") || folder.ends_with("/bin");
    if !in_sources || is_root || folder.contains("/examples") {
        return None;
    }
    let (folder, name) = match (name, folder.rsplit_once('/')) {
        ("mod", Some((above, own))) => (above, own),
        _ => (folder, name),
    };
    let parents = ["/main.rs", "/lib.rs", "/mod.rs", ".rs"].map(|end| format!("{folder}{end}"));
    Some((parents.to_vec(), name))
}

/// One test program per crate: each more is linked, and started, on its own.
fn test_program_problem(file: &File) -> Option<Problem> {
    let (folder, _) = file.path.rsplit_once('/')?;
    let what = "is a test program of its own: move it to tests/it/";
    folder.ends_with("/tests").then(|| Problem::new(&file.path, 0, what))
}

#[cfg(test)]
mod tests {
    use super::parents_of;

    #[test]
    fn a_test_file_is_declared_by_the_main_file_beside_it() {
        let (parents, name) = parents_of("crates/consign/tests/it/errors.rs").expect("a module");
        assert_eq!(name, "errors");
        assert!(parents.contains(&"crates/consign/tests/it/main.rs".to_owned()));
    }

    #[test]
    fn a_file_in_a_folder_is_declared_by_the_file_of_the_folders_name() {
        let (parents, name) =
            parents_of("crates/consign-sql/src/sqlite/gate.rs").expect("a module");
        assert_eq!(name, "gate");
        assert!(parents.contains(&"crates/consign-sql/src/sqlite.rs".to_owned()));
    }

    #[test]
    fn roots_and_other_folders_need_no_declaration() {
        assert!(parents_of("apps/blog/src/main.rs").is_none());
        assert!(parents_of("crates/consign/tests/it/main.rs").is_none());
        assert!(parents_of("crates/consign/tests/ui/no_kind.rs").is_none());
        assert!(parents_of("crates/consign/examples/existing_service/after.rs").is_none());
    }
}

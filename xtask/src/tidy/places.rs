//! Addresses that work only in one place: hosts of package registries, folders of somebody's machine.

use super::Problem;
use super::tree::{File, Tree, numbered};

/// Where packages come from is a matter of each machine's settings. In halves, so that this file holds none.
const HOSTS: [&str; 10] = [
    concat!("registry.", "npmjs.org"),
    concat!("registry.", "yarnpkg.com"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("pypi.", "org"),
    concat!("files.", "pythonhosted.org"),
    concat!("proxy.", "golang.org"),
    concat!("repo1.maven", ".org"),
    concat!("repo.maven", ".apache.org"),
    concat!("deb.", "debian.org"),
];

const FOLDERS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];

pub(super) fn problems(tree: &Tree) -> Vec<Problem> {
    let ours = tree.files.iter().filter(|file| !file.is_foreign());
    ours.flat_map(|file| numbered(&file.text).filter_map(|line| problem(file, line))).collect()
}

fn problem(file: &File, (number, line): (usize, &str)) -> Option<Problem> {
    if let Some(host) = HOSTS.iter().find(|host| line.contains(*host)) {
        return Some(Problem::new(&file.path, number, format!("names the registry {host}")));
    }
    let folder = FOLDERS.iter().find(|folder| starts_a_path(line, folder))?;
    Some(Problem::new(&file.path, number, format!("names a folder of one machine: {folder}")))
}

/// `/folder/` at the start of a path, not in the middle of one or of an address.
fn starts_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '~' | '$'))
    })
}

#[cfg(test)]
mod tests {
    use super::starts_a_path;

    #[test]
    fn a_folder_in_the_middle_of_a_path_is_not_a_place() {
        assert!(starts_a_path("see /folder/notes", "/folder/"));
        assert!(starts_a_path("\"/folder/notes\"", "/folder/"));
        assert!(!starts_a_path("apps/folder/notes", "/folder/"));
        assert!(!starts_a_path("http://host/folder/notes", "/folder/"));
    }
}

//! Links of Markdown files: each names a file of the repository, and a heading that stands in it.

use super::Problem;
use super::tree::{File, Tree, numbered};

pub(super) fn problems(tree: &Tree) -> Vec<Problem> {
    let pages = tree.files.iter().filter(|file| file.has_extension("md") && !file.is_foreign());
    pages.flat_map(|page| page_problems(tree, page)).collect()
}

fn page_problems(tree: &Tree, page: &File) -> Vec<Problem> {
    let prose = prose(&page.text);
    let mut problems = Vec::new();
    for (number, line) in numbered(&prose) {
        for target in targets(line).filter(|target| is_local(target)) {
            if let Some(what) = trouble(tree, page, target) {
                problems.push(Problem::new(&page.path, number, what));
            }
        }
    }
    problems
}

/// The page with its code blanked: links in it are examples.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let lines = text.lines().map(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        if fenced || fence { String::new() } else { without_code(line) }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("code")
}

/// Where the inline links of `line`, and a definition `[name]: target`, lead to.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let is_definition = line.starts_with('[') && !line.starts_with("[^");
    let definition = line.split_once("]: ").filter(|_| is_definition);
    inline.chain(definition.and_then(|(_, rest)| rest.split_whitespace().next()))
}

fn is_local(target: &str) -> bool {
    !target.contains("://") && !target.starts_with("mailto:") && !target.is_empty()
}

fn trouble(tree: &Tree, page: &File, target: &str) -> Option<String> {
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() { page.path.clone() } else { resolve(&page.path, path) };
    let folder = format!("{path}/");
    let exists = tree.files.iter().any(|file| file.path == path || file.path.starts_with(&folder));
    if !exists {
        return Some(format!("links to {path}, which is not there"));
    }
    let missing = !heading.is_empty() && tree.get(&path).is_some_and(|file| !has(file, heading));
    missing.then(|| format!("links to a heading that {path} does not have: {heading}"))
}

/// `target` as seen from the folder of `page`, from the root.
fn resolve(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    if target.starts_with('/') {
        parts.clear();
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

fn has(page: &File, heading: &str) -> bool {
    if !page.has_extension("md") {
        return true;
    }
    page.text.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == heading)
}

/// The name by which forges link to a heading.
fn anchor(line: &str) -> String {
    let text = line.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::{anchor, prose, resolve, targets};

    #[test]
    fn links_are_found_outside_code() {
        let page = "a [b](c.md#d) and `[e](f.md)`\n```\n[g](h.md)\n```\n[i]: j.md";
        let prose = prose(page);
        let found: Vec<_> = prose.lines().flat_map(targets).collect();
        assert_eq!(found, ["c.md#d", "j.md"]);
    }

    #[test]
    fn a_link_is_seen_from_its_page() {
        assert_eq!(resolve("docs/decisions/0001.md", "../glossary.md"), "docs/glossary.md");
        assert_eq!(resolve("README.md", "docs/"), "docs");
    }

    #[test]
    fn a_heading_is_named_as_forges_do() {
        assert_eq!(anchor("## Who commits, and what?"), "who-commits-and-what");
    }
}

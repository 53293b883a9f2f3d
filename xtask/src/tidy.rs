//! What no other tool checks: the arrows between crates, `unsafe`, opened files, forgotten files, links.

mod arrows;
mod confined;
mod forgotten;
mod length;
mod links;
mod places;
mod promises;
mod source;
mod tree;

use std::fmt;

use self::tree::Tree;
use crate::Result;
use crate::workspace::Workspace;

/// Prints what is untidy and what is longest; answers whether nothing was untidy.
pub(crate) fn run(workspace: &Workspace) -> Result<bool> {
    let tree = Tree::read(&workspace.root)?;
    let problems = [
        arrows::problems(workspace),
        confined::problems(&tree),
        forgotten::problems(&tree),
        places::problems(&tree),
        links::problems(&tree),
        promises::problems(&tree),
    ]
    .concat();
    println!("\n$ tidy ({} files)", tree.files.len());
    length::print(&tree);
    for problem in &problems {
        println!("{problem}");
    }
    println!("tidy: {} problems", problems.len());
    Ok(problems.is_empty())
}

/// One untidy place, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    path: String,
    /// From 1; 0 means the whole file.
    line: usize,
    what: String,
}

impl Problem {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.path, self.what),
            line => write!(formatter, "{}:{line}: {}", self.path, self.what),
        }
    }
}

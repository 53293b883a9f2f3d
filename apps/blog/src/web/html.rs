//! Text that is HTML already. No template switches escaping off: what stands unescaped in a page has
//! one of these two origins, and a test looks that it stays so.

use std::fmt;

use askama::filters::HtmlSafe;

use crate::markdown;
use crate::search::Found;

/// HTML that was made safe where it was made.
pub(super) struct Html(String);

impl Html {
    /// An article's body: sanitized.
    pub(super) fn of_markdown(body: &str) -> Self {
        Self(markdown::render(body))
    }

    /// A piece of an article: escaped, then marked.
    pub(super) fn of_snippet(found: &Found) -> Self {
        Self(found.snippet.clone())
    }
}

impl fmt::Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Html {}

#[cfg(test)]
mod tests {
    #[test]
    fn no_template_switches_escaping_off() {
        let templates = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
        let mut seen = 0;
        for entry in std::fs::read_dir(templates).unwrap() {
            let path = entry.unwrap().path();
            let source = std::fs::read_to_string(&path).unwrap();
            let code = source.split(['{', '}']).filter(|code| code.contains('|'));
            for code in code {
                assert!(!code.contains("safe") && !code.contains("escape"), "{path:?}: {code}");
            }
            assert!(!source.contains("style=") && !source.contains("onclick"), "{path:?}");
            seen += 1;
        }
        assert!(seen > 10, "only {seen} templates were looked at");
    }
}

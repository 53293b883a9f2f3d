//! Markdown as authors write it, made into HTML that may stand in a page.
//!
//! Two independent nets: comrak lets no HTML through (it is shown as the text it is, so that
//! `Vec<String>` does not vanish), and ammonia then keeps a short list of elements, attributes and
//! link schemes. The source is what is stored; this runs whenever an article is shown.

#[cfg(test)]
mod attacks;
mod excerpt;

use std::borrow::Cow;
use std::collections::HashSet;
use std::mem::take;
use std::sync::LazyLock;

use ammonia::Builder;
use comrak::arena_tree::NodeEdge;
use comrak::nodes::{Node, NodeCodeBlock, NodeValue};
use comrak::{Arena, Options, format_html, parse_document};

pub(crate) use excerpt::excerpt;

const LINK_SCHEMES: [&str; 3] = ["http", "https", "mailto"];

/// All that an article may hold, and all that comrak writes with our options.
const ELEMENTS: &str = "a blockquote br code del em h2 h3 h4 h5 h6 hr li ol p pre strong table tbody td th \
                        thead tr ul";

const EMPTY_HEADERS: [&str; 4] = [
    "<th></th>",
    "<th align=\"left\"></th>",
    "<th align=\"center\"></th>",
    "<th align=\"right\"></th>",
];

/// Quotes and emphasis nested deeper are flattened: the work of an HTML parser grows with the
/// square of the depth, and 64 KiB of `>` took it half a minute.
const NESTING_MAX: usize = 32;

/// The HTML of an article's body; safe to stand unescaped in a page.
pub(crate) fn render(markdown: &str) -> String {
    let arena = Arena::new();
    let options = options();
    let document = parse_document(&arena, markdown, &options);
    flatten(document);
    fit_into_page(document);
    let mut html = String::with_capacity(markdown.len() * 3 / 2);
    format_html(document, &options, &mut html).expect("writing to a String does not fail");
    without_empty_headers(SANITIZER.clean(&html).to_string())
}

/// A header cell without words heads nothing: it becomes an ordinary cell. What is put in has no
/// quote, so even inside an attribute it would do no harm.
fn without_empty_headers(html: String) -> String {
    if !html.contains("></th>") {
        return html;
    }
    EMPTY_HEADERS.iter().fold(html, |html, header| html.replace(header, "<td></td>"))
}

fn options() -> Options<'static> {
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.strikethrough = true;
    options.extension.autolink = true;
    options.render.escape = true;
    options
}

static SANITIZER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut sanitizer = Builder::empty();
    sanitizer
        .tags(ELEMENTS.split_whitespace().collect::<HashSet<_>>())
        .add_tag_attributes("a", ["href", "title"])
        .add_tag_attributes("ol", ["start"])
        .add_tag_attributes("td", ["align"])
        .add_tag_attributes("th", ["align"])
        .url_schemes(HashSet::from(LINK_SCHEMES))
        .link_rel(Some("nofollow noopener ugc"))
        .attribute_filter(without_odd_link)
        // Both scroll inside the page when they are wider than it, so a keyboard must reach them.
        .set_tag_attribute_value("pre", "tabindex", "0")
        .set_tag_attribute_value("table", "tabindex", "0");
    sanitizer
});

/// comrak empties a link that it finds dangerous; an empty one would lead to the page itself. One
/// that begins with `//` leads to another site without saying how, so no scheme was allowed for it.
fn without_odd_link<'u>(_: &str, attribute: &str, value: &'u str) -> Option<Cow<'u, str>> {
    let odd = value.is_empty() || leaves_out_scheme(value);
    (attribute != "href" || !odd).then_some(Cow::Borrowed(value))
}

/// As a browser reads it, which takes `\` for `/` and does not see blanks in front or line breaks.
fn leaves_out_scheme(link: &str) -> bool {
    let seen = link.trim_start_matches(|c: char| c <= ' ');
    let mut seen = seen.chars().filter(|c| !matches!(c, '\t' | '\n' | '\r'));
    let mut is_slash = || matches!(seen.next(), Some('/' | '\\'));
    is_slash() && is_slash()
}

fn flatten(document: Node<'_>) {
    let (mut depth, mut links) = (0_usize, 0_usize);
    let mut superfluous = Vec::new();
    for edge in document.traverse() {
        match edge {
            NodeEdge::Start(node) => {
                let (link, nests) = (is_link(node), nests(node));
                if (nests && depth >= NESTING_MAX) || (link && links > 0) {
                    superfluous.push(node);
                }
                depth += 1;
                links += usize::from(link);
            }
            NodeEdge::End(node) => {
                depth -= 1;
                links -= usize::from(is_link(node));
            }
        }
    }
    superfluous.into_iter().for_each(unwrap);
}

/// Headings follow the title, which is the page's first, without leaving out a level. A picture
/// becomes a link to it, since pages load nothing from elsewhere.
fn fit_into_page(document: Node<'_>) {
    let highest = document.descendants().filter_map(heading_level).min().unwrap_or_default();
    let mut previous = 1;
    for node in document.descendants() {
        let value = &mut node.data_mut().value;
        match value {
            NodeValue::Heading(heading) => {
                heading.level = (heading.level - highest + 2).min(previous + 1).min(6);
                previous = heading.level;
            }
            NodeValue::Image(link) => *value = NodeValue::Link(link.clone()),
            NodeValue::HtmlBlock(html) => {
                let literal = take(&mut html.literal);
                *value = NodeValue::CodeBlock(Box::new(NodeCodeBlock {
                    literal,
                    ..NodeCodeBlock::default()
                }));
            }
            _ => {}
        }
    }
}

fn heading_level(node: Node<'_>) -> Option<u8> {
    match node.data().value {
        NodeValue::Heading(heading) => Some(heading.level),
        _ => None,
    }
}

fn is_link(node: Node<'_>) -> bool {
    matches!(node.data().value, NodeValue::Link(_) | NodeValue::Image(_))
}

fn nests(node: Node<'_>) -> bool {
    matches!(
        node.data().value,
        NodeValue::BlockQuote | NodeValue::Emph | NodeValue::Strong | NodeValue::Strikethrough
    )
}

/// Leaves the children where `node` was.
fn unwrap(node: Node<'_>) {
    while let Some(child) = node.first_child() {
        node.insert_before(child);
    }
    node.detach();
}

#[cfg(test)]
mod tests {
    use super::attacks::tags;
    use super::*;

    #[test]
    fn what_looks_like_an_element_is_shown_as_it_was_typed() {
        assert_eq!(render("a Vec<String>"), "<p>a Vec&lt;String&gt;</p>\n");
        let block = render("<div>\nx\n</div>");
        assert_eq!(block, "<pre tabindex=\"0\"><code>&lt;div&gt;\nx\n&lt;/div&gt;</code></pre>\n");
    }

    #[test]
    fn the_usual_markdown_is_there() {
        let check = |markdown, expected: &str| {
            let html = render(markdown);
            assert!(html.contains(expected), "{markdown:?}: {html}");
        };
        check("**a** *b* ~~c~~ `d`", "<strong>a</strong> <em>b</em> <del>c</del> <code>d</code>");
        check("3. a\n4. b", "<ol start=\"3\">");
        check("| a |\n|--:|\n| b |", "<td align=\"right\">b</td>");
        check("| | a |\n|:-:|--|\n| b | c |", "<tr>\n<td></td>\n<th>a</th>");
        check("> a", "<blockquote>");
        let rel = "rel=\"nofollow noopener ugc\"";
        check("[a](https://x.example)", &format!("<a href=\"https://x.example\" {rel}>a</a>"));
        check("https://x.example", &format!("<a href=\"https://x.example\" {rel}>"));
        check("[a](mailto:a@x.example)", "href=\"mailto:a@x.example\"");
        check(
            "![a](https://x.example/p.png)",
            &format!("<a href=\"https://x.example/p.png\" {rel}>a</a>"),
        );
        check(
            "[![a](/p.png)](https://x.example)",
            &format!("<a href=\"https://x.example\" {rel}>a</a>"),
        );
        check("[a](/articles/7)", &format!("<a href=\"/articles/7\" {rel}>a</a>"));
        check("[a](javascript:x)", &format!("<a {rel}>a</a>"));
    }

    #[test]
    fn a_link_to_another_site_says_its_scheme() {
        for link in ["//evil.example", "///evil.example", "<// evil.example>"] {
            let html = render(&format!("[a]({link}) ![b]({link})"));
            assert!(!html.contains("href"), "{link}: {html}");
        }
        for link in ["//x", "\\\\x", "/\\x", " //x", "/\t/x", "\n/\r/x"] {
            assert!(leaves_out_scheme(link), "{link:?}");
        }
        for link in ["/x//y", "https://x", "x//y", "#//", "?//", ""] {
            assert!(!leaves_out_scheme(link), "{link:?}");
        }
    }

    #[test]
    fn headings_follow_the_title_without_a_gap() {
        let levels = |markdown| -> Vec<String> {
            tags(&render(markdown)).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(levels("# a\n## b\n# c"), ["h2", "h3", "h2"]);
        assert_eq!(levels("### a\n##### b\n#### c"), ["h2", "h3", "h3"]);
        assert_eq!(levels("## a\n# b"), ["h2", "h2"]);
    }

    #[test]
    fn what_is_nested_too_deep_is_still_there() {
        let html = render(&format!("{}deep **down**", "> ".repeat(500)));
        assert!(html.contains("deep down"), "{html}");
        assert_eq!(html.matches("<blockquote>").count(), NESTING_MAX - 1);
    }
}

//! Markdown as authors write it, made into HTML that may stand in a page.
//!
//! Two independent nets: comrak lets no HTML through (it is shown as the text it is, so that
//! `Vec<String>` does not vanish), and ammonia then keeps a short list of elements, attributes and
//! link schemes. The source is what is stored; this runs whenever an article is shown.

use std::borrow::Cow;
use std::collections::HashSet;
use std::mem::take;
use std::sync::LazyLock;

use ammonia::Builder;
use comrak::arena_tree::NodeEdge;
use comrak::nodes::{Node, NodeCodeBlock, NodeValue};
use comrak::{Arena, Options, format_html, parse_document};

const LINK_SCHEMES: [&str; 3] = ["http", "https", "mailto"];

/// All that an article may hold, and all that comrak writes with our options.
const ELEMENTS: &str = "a blockquote br code del em h2 h3 h4 h5 h6 hr li ol p pre strong table tbody td th \
                        thead tr ul";

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
    SANITIZER.clean(&html).to_string()
}

/// The first words of an article as plain text; headings, code and tables are left out.
pub(crate) fn excerpt(markdown: &str, length_max: usize) -> String {
    let arena = Arena::new();
    let document = parse_document(&arena, markdown, &options());
    let mut text = String::new();
    for block in document.children().filter(|block| is_prose(block)) {
        collect_text(block, &mut text);
        if text.len() > length_max * char::MAX_LEN_UTF8 {
            break;
        }
    }
    shorten(&text, length_max)
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
        .attribute_filter(without_empty_link)
        // Both scroll inside the page when they are wider than it, so a keyboard must reach them.
        .set_tag_attribute_value("pre", "tabindex", "0")
        .set_tag_attribute_value("table", "tabindex", "0");
    sanitizer
});

/// comrak empties a link that it finds dangerous; an empty one would lead to the page itself.
fn without_empty_link<'u>(_: &str, attribute: &str, value: &'u str) -> Option<Cow<'u, str>> {
    (attribute != "href" || !value.is_empty()).then_some(Cow::Borrowed(value))
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

fn is_prose(block: Node<'_>) -> bool {
    !matches!(
        block.data().value,
        NodeValue::Heading(_)
            | NodeValue::CodeBlock(_)
            | NodeValue::HtmlBlock(_)
            | NodeValue::Table(_)
    )
}

fn collect_text(block: Node<'_>, text: &mut String) {
    for node in block.descendants() {
        match &node.data().value {
            NodeValue::Text(words) => text.push_str(words),
            NodeValue::HtmlInline(words) => text.push_str(words),
            NodeValue::Code(code) => text.push_str(&code.literal),
            NodeValue::SoftBreak | NodeValue::LineBreak | NodeValue::Paragraph => text.push(' '),
            _ => {}
        }
    }
}

/// Cut after a word, with an ellipsis where something was left out.
fn shorten(text: &str, length_max: usize) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some((cut, _)) = text.char_indices().nth(length_max) else {
        return text;
    };
    let end = text[..cut].rfind(' ').unwrap_or(cut);
    format!("{}…", text[..end].trim_end_matches([',', '.', ';', ':']))
}

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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const BODY_BYTES_MAX: usize = 65_536;

    const ATTACKS: [&str; 31] = [
        "<script>alert(1)</script>",
        "<ScRiPt src=//evil.example/x.js></sCrIpT>",
        "<img src=x onerror=alert(1)>",
        "<svg/onload=alert(1)>",
        "<svg><script>alert(1)</script></svg>",
        "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
        "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
        "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
        "<object data=javascript:alert(1)></object><embed src=javascript:alert(1)>",
        "<form action=javascript:alert(1)><button>x</button></form>",
        "<input autofocus onfocus=alert(1)>",
        "<a href=\"javascript:alert(1)\">x</a>",
        "<b style=\"background:url(javascript:alert(1))\">x</b><style>@import 'x'</style>",
        "<meta http-equiv=refresh content='0;url=javascript:alert(1)'><base href=//evil.example>",
        "<a hx-get=/write hx-trigger=load>x</a> <hx-partial hx-target=body>x</hx-partial>",
        "<div id=main name=cookie class=top>x</div>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](  javascript:alert(1))",
        "[x](java\tscript:alert(1)) [x](java&#10;script:alert(1)) [x](&#106;avascript:alert(1))",
        "[x](vbscript:alert(1)) [x](file:///etc/passwd) [x](blob:x) [x](ftp://x.example)",
        "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==) [x](data:image/png,x)",
        "![x](javascript:alert(1)) ![x](https://x.example/\"onerror=alert(1).png) ![x](x 'a\" onload=alert(1)')",
        "[x](<\" onmouseover=alert(1)>) [x](/ '\" onmouseover=\"alert(1)') [x](/ \"' onclick='alert(1)\")",
        "<javascript:alert(1)> <https://x.example/\"onclick=alert(1)> <x@y.example\"onclick=alert(1)>",
        "[x]: javascript:alert(1)\n\n[x] [y][x]",
        "```\"><script>alert(1)</script>\n</code></pre><script>alert(1)</script>\n```",
        "`</code><script>alert(1)</script>`",
        "| <script>alert(1)</script> | [x](javascript:alert(1)) |\n|:-:|--:|\n| <img src=x onerror=alert(1)> | `|` |",
        "<!-- x --><!--><img src=x onerror=alert(1)>--> <![CDATA[<script>alert(1)</script>]]> <?php x ?>",
        "\u{0}<scr\u{0}ipt>alert(1)</script> \u{202e}<b>x</b> https://x.example/<script>alert(1)</script>",
    ];

    /// The start tags of some HTML: name, and attributes with their values.
    fn tags(html: &str) -> Vec<(String, Vec<(String, String)>)> {
        let starts = html.split('<').skip(1).filter(|tag| !tag.starts_with('/'));
        starts
            .map(|tag| {
                let mut parts = tag.split('"');
                let (mut name, mut attributes) = (String::new(), Vec::new());
                while let Some(before) = parts.next() {
                    let before = before.split('>').next().unwrap();
                    let mut words = before.split_whitespace();
                    if name.is_empty() {
                        words.next().unwrap().clone_into(&mut name);
                    }
                    if let Some(attribute) = words.next() {
                        let attribute = attribute.trim_end_matches('=').to_owned();
                        attributes.push((attribute, parts.next().unwrap_or_default().to_owned()));
                    } else {
                        break;
                    }
                }
                (name, attributes)
            })
            .collect()
    }

    fn assert_harmless(markdown: &str) {
        let html = render(markdown);
        for (name, attributes) in tags(&html) {
            let allowed = ELEMENTS.split_whitespace().any(|element| element == name);
            assert!(allowed, "<{name}> of {markdown:?}: {html}");
            for (attribute, value) in attributes {
                let known = ["href", "title", "rel", "align", "start", "tabindex"];
                assert!(known.contains(&&*attribute), "{attribute} of {markdown:?}: {html}");
                if attribute == "href" {
                    let part = |byte: u8| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte);
                    let scheme = value.split_once(':').map(|(scheme, _)| scheme);
                    let scheme = scheme.filter(|scheme| scheme.bytes().all(part));
                    let allowed = scheme.is_none_or(|scheme| LINK_SCHEMES.contains(&scheme));
                    assert!(allowed, "{value} of {markdown:?}: {html}");
                }
            }
        }
    }

    #[test]
    fn attacks_become_text() {
        for attack in ATTACKS {
            assert_harmless(attack);
            for around in ["> {}", "- {}", "**{}**", "[{}](https://x.example)", "# {}", "![{}](/x)"]
            {
                assert_harmless(&around.replace("{}", attack));
            }
        }
        assert_harmless(&ATTACKS.join("\n\n"));
    }

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
        check("[a](javascript:x)", &format!("<a {rel}>a</a>"));
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
    fn no_text_takes_long() {
        let repeated =
            ["> ", ">", "[", "![", "*a **b ", "[a](", "<a ", "`a``", "- ", "&#x41;", "|a"];
        for piece in repeated {
            let text = piece.repeat(BODY_BYTES_MAX / piece.len());
            let begun = Instant::now();
            let html = render(&text);
            assert!(
                begun.elapsed() < Duration::from_secs(2),
                "{piece:?} took {:?}",
                begun.elapsed()
            );
            assert!(html.len() < 8 * BODY_BYTES_MAX, "{piece:?} became {} bytes", html.len());
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_still_there() {
        let html = render(&format!("{}deep **down**", "> ".repeat(500)));
        assert!(html.contains("deep down"), "{html}");
        assert_eq!(html.matches("<blockquote>").count(), NESTING_MAX - 1);
    }

    #[test]
    fn an_excerpt_is_the_first_prose() {
        let text =
            "# Title\n\n```\ncode\n```\n\nSome *first* `words`,\nand <b>more</b>.\n\n- one\n- two";
        assert_eq!(excerpt(text, 100), "Some first words, and <b>more</b>. one two");
        assert_eq!(excerpt(text, 18), "Some first words…");
        assert_eq!(excerpt("é".repeat(50).as_str(), 10), format!("{}…", "é".repeat(10)));
        assert_eq!(excerpt("", 10), "");
    }
}

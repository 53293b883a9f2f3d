//! What attackers write, and that none of it does anything.

use std::time::{Duration, Instant};

use super::{ELEMENTS, LINK_SCHEMES, render};

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

#[test]
fn attacks_become_text() {
    for attack in ATTACKS {
        assert_harmless(attack);
        for around in ["> {}", "- {}", "**{}**", "[{}](https://x.example)", "# {}", "![{}](/x)"] {
            assert_harmless(&around.replace("{}", attack));
        }
    }
    assert_harmless(&ATTACKS.join("\n\n"));
}

#[test]
fn no_text_takes_long() {
    let repeated = ["> ", ">", "[", "![", "*a **b ", "[a](", "<a ", "`a``", "- ", "&#x41;", "|a"];
    for piece in repeated {
        let text = piece.repeat(BODY_BYTES_MAX / piece.len());
        let begun = Instant::now();
        let html = render(&text);
        assert!(begun.elapsed() < Duration::from_secs(2), "{piece:?} took {:?}", begun.elapsed());
        assert!(html.len() < 8 * BODY_BYTES_MAX, "{piece:?} became {} bytes", html.len());
    }
}

/// The start tags of some HTML: name, and attributes with their values.
pub(super) fn tags(html: &str) -> Vec<(String, Vec<(String, String)>)> {
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

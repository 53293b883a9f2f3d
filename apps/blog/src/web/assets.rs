//! Style sheet, script and icon: part of the binary, cached by browsers for good.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// As many hexadecimal digits of a file's SHA-256 stand in its address.
const VERSION_LENGTH: usize = 16;

struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static str,
    version: String,
    url: String,
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        Asset::new("blog.css", "text/css; charset=utf-8", include_str!("../../assets/blog.css")),
        Asset::new("htmx.js", "text/javascript; charset=utf-8", HTMX),
        Asset::new("icon.svg", "image/svg+xml", include_str!("../../assets/icon.svg")),
    ]
});

/// One file: loaded as two, htmx now and then walks the page before its extension has registered,
/// and the page never connects (8 of 120 loads with `defer`).
const HTMX: &str = concat!(
    include_str!("../../assets/vendor/htmx.min.js"),
    "\n;\n",
    include_str!("../../assets/vendor/hx-sse.min.js"),
);

/// Where a page finds `name`; another content has another address.
pub(super) fn url(name: &str) -> &'static str {
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    &asset.expect("a template names an asset that is not embedded").url
}

/// `GET /assets/{version}/{name}`
pub(super) async fn asset(path: Result<Path<(String, String)>, PathRejection>) -> Response {
    // What is no text names no file.
    let Path((version, name)) = path.unwrap_or_else(|_| Path(Default::default()));
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // A page of an older build asks for an older version: what we have is better than nothing.
    let caching =
        if asset.version == version { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, caching)];
    (headers, asset.content).into_response()
}

/// `GET /favicon.ico`, which browsers ask for where a page names no icon (JSON).
pub(super) async fn favicon() -> Response {
    asset(Ok(Path((String::new(), "icon.svg".to_owned())))).await
}

impl Asset {
    fn new(name: &'static str, kind: &'static str, content: &'static str) -> Self {
        let version: String = sum(content).chars().take(VERSION_LENGTH).collect();
        let url = format!("/assets/{version}/{name}");
        Self { name, kind, content, version, url }
    }
}

fn sum(content: &str) -> String {
    Sha256::digest(content).iter().fold(String::new(), |mut sum, byte| {
        write!(sum, "{byte:02x}").expect("writing to a String does not fail");
        sum
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VENDORED: [(&str, &str); 2] = [
        ("htmx.min.js", include_str!("../../assets/vendor/htmx.min.js")),
        ("hx-sse.min.js", include_str!("../../assets/vendor/hx-sse.min.js")),
    ];

    #[test]
    fn vendored_files_are_as_published() {
        let listed = include_str!("../../assets/vendor/VENDOR.toml");
        let files: Vec<_> = listed.split("[[file]]").skip(1).collect();
        assert_eq!(files.len(), VENDORED.len());
        for (path, content) in VENDORED {
            let entry = files.iter().find(|entry| value(entry, "path") == path).unwrap();
            assert_eq!(value(entry, "sha256"), sum(content), "{path}");
            assert!(!value(entry, "version").is_empty() && !value(entry, "licence").is_empty());
        }
    }

    #[test]
    fn the_style_sheet_stays_small() {
        assert!(ASSETS[0].content.len() < 10 * 1024);
    }

    fn value<'a>(entry: &'a str, key: &str) -> &'a str {
        let line = entry.lines().find(|line| line.starts_with(key)).unwrap();
        line.split('"').nth(1).unwrap()
    }
}

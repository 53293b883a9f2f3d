//! What stands in `#[message(...)]`, checked where it is written.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, DeriveInput, Error, Expr, Ident, LitInt, LitStr, Result};

/// The log's bound on the names of kinds and topics, in bytes.
const NAME_LENGTH_MAX: usize = 63;

pub(crate) struct Attributes {
    pub(crate) kind: LitStr,
    pub(crate) version: u32,
    pub(crate) topic: LitStr,
    pub(crate) key: Option<Expr>,
}

impl Attributes {
    pub(crate) fn of(input: &DeriveInput) -> Result<Self> {
        let written = Written::parse(&input.attrs)?;
        let kind = written.kind.ok_or_else(|| no_kind(&input.ident))?;
        check_name(&kind, "kind", "article.published")?;
        let topic = written.topic.unwrap_or_else(|| kind.clone());
        check_name(&topic, "topic", "articles")?;
        let version = written.version.map_or(Ok(1), |version| parse_version(&version))?;
        Ok(Self { kind, version, topic, key: written.key })
    }
}

/// The attributes as they are written: each at most once, none of them checked.
#[derive(Default)]
struct Written {
    kind: Option<LitStr>,
    version: Option<LitInt>,
    topic: Option<LitStr>,
    key: Option<Expr>,
}

impl Written {
    fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut written = Self::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("message")) {
            attribute.parse_nested_meta(|meta| written.take(&meta))?;
        }
        Ok(written)
    }

    fn take(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let name = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
        match name.as_str() {
            "kind" => set(&mut self.kind, meta, "a text, as in `kind = \"article.published\"`"),
            "version" => set(&mut self.version, meta, "a whole number, as in `version = 1`"),
            "topic" => set(&mut self.topic, meta, "a text, as in `topic = \"articles\"`"),
            "key" => set(
                &mut self.key,
                meta,
                "a field or an expression in parentheses, as in `key = author_id`",
            ),
            _ => Err(meta.error("expected `kind`, `version`, `topic` or `key`")),
        }
    }
}

fn set<T: syn::parse::Parse>(
    place: &mut Option<T>,
    meta: &ParseNestedMeta<'_>,
    expected: &str,
) -> Result<()> {
    if place.is_some() {
        return Err(meta.error("given twice: leave one of them"));
    }
    let value = meta.value().map_err(|_| meta.error(format!("expected {expected}")))?;
    let span = value.span();
    *place = Some(value.parse().map_err(|_| Error::new(span, format!("expected {expected}")))?);
    Ok(())
}

fn no_kind(name: &Ident) -> Error {
    let sentence = format!(
        "add `#[message(kind = \"...\")]`: the kind is what is stored, so it must survive a rename \
         of `{name}`"
    );
    Error::new(name.span(), sentence)
}

fn check_name(name: &LitStr, noun: &str, example: &str) -> Result<()> {
    if is_name(&name.value()) {
        return Ok(());
    }
    let sentence = format!(
        "{:?} cannot be a {noun}: write 1 to {NAME_LENGTH_MAX} of `a-z 0-9 _ . -`, a letter first, \
         as in {example:?}",
        name.value()
    );
    Err(Error::new(name.span(), sentence))
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-');
    name.len() <= NAME_LENGTH_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(allowed)
}

fn parse_version(version: &LitInt) -> Result<u32> {
    match version.base10_parse() {
        Ok(number) if number >= 1 => Ok(number),
        _ => Err(bad_version(version.span())),
    }
}

fn bad_version(span: Span) -> Error {
    Error::new(span, format!("a version is 1 or more, at most {}: the first one is 1", u32::MAX))
}

//! What a user's type must say to be published and read.

use crate::{Key, Result};
use bytes::Bytes;

/// The stored name of a message's type, and its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Survives a rename of the Rust type: `article.published`.
    pub name: &'static str,
    /// Counted from 1; a build reads its own version and older ones.
    pub version: u32,
}

/// What can be published and read: a struct of one kind, or an enum of several kinds of a topic.
///
/// Derive it. By hand only to read old versions of another shape. An enum needs no serde: the
/// stored kind says which variant decodes the bytes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message",
    label = "not a message",
    note = "add `#[derive(Message)]` and `#[message(kind = \"...\")]` to `{Self}`",
    note = "in a handler the message comes first: `async fn(message, extractors...) -> HandlerResult`"
)]
pub trait Message: Sized + Send + Sync + 'static {
    /// The topic it is published to.
    const TOPIC: &'static str;
    /// Every kind that [`Message::decode`] understands. Other kinds of the topic are skipped.
    const KINDS: &'static [Kind];

    /// The kind of this message.
    fn kind(&self) -> Kind;

    /// What it keeps its order by; `None`: any partition.
    ///
    /// # Errors
    /// `key-too-long`.
    fn key(&self) -> Result<Option<Key>>;

    /// The bytes that are stored.
    ///
    /// # Errors
    /// `encode`.
    fn encode(&self) -> Result<Bytes>;

    /// Reads the stored kind, version and bytes. The derive reads its own version and older ones
    /// (serde's defaults fill new fields).
    ///
    /// # Errors
    /// `decode`, `unknown-kind`, `newer-version`.
    fn decode(kind: &str, version: u32, payload: &[u8]) -> Result<Self>;
}

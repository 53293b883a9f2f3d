//! What a user's type must say to be published and read.

use crate::{Error, Key, Result};
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
    note = "add `#[derive(Message)]` and `#[message(kind = \"...\")]` to `{Self}`"
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

pub(crate) mod private {
    use super::{Error, Key, Kind, Result};
    pub use bytes::Bytes;
    use serde::{Serialize, de::DeserializeOwned};

    pub fn to_json<M: Serialize>(message: &M) -> Result<Bytes> {
        serde_json::to_vec(message)
            .map(Bytes::from)
            .map_err(|error| Error::new("encode", "cannot encode the message").caused_by(error))
    }

    pub fn from_json<M: DeserializeOwned>(payload: &[u8]) -> Result<M> {
        serde_json::from_slice(payload)
            .map_err(|error| Error::new("decode", "cannot decode the message").caused_by(error))
    }

    pub fn key(value: &impl ToString) -> Result<Key> {
        Key::new(value.to_string())
    }

    /// Refuses what this build cannot read: another kind, or a newer version of its own.
    pub fn reads(known: Kind, kind: &str, version: u32) -> Result {
        if kind != known.name {
            return unknown_kind(kind);
        }
        if version <= known.version {
            return Ok(());
        }
        let message =
            format!("{kind:?} has version {version}; this build reads up to {}", known.version);
        Err(Error::new("newer-version", message))
    }

    pub fn unknown_kind<M>(kind: &str) -> Result<M> {
        Err(Error::new("unknown-kind", format!("this build does not know the kind {kind:?}")))
    }

    /// The kinds of an enum: those of its variants, one after the other.
    pub const fn join<const N: usize>(variants: &[&[Kind]]) -> [Kind; N] {
        let mut all = [Kind { name: "", version: 0 }; N];
        let (mut variant, mut n) = (0, 0);
        while variant < variants.len() {
            let mut kind = 0;
            while kind < variants[variant].len() {
                all[n] = variants[variant][kind];
                (kind, n) = (kind + 1, n + 1);
            }
            variant += 1;
        }
        all
    }

    pub const fn has_twice(kinds: &[Kind]) -> bool {
        let mut a = 0;
        while a < kinds.len() {
            let mut b = a + 1;
            while b < kinds.len() {
                if same(kinds[a].name, kinds[b].name) {
                    return true;
                }
                b += 1;
            }
            a += 1;
        }
        false
    }

    pub const fn same(a: &str, b: &str) -> bool {
        let (a, b) = (a.as_bytes(), b.as_bytes());
        let mut i = 0;
        while i < a.len() && i < b.len() && a[i] == b[i] {
            i += 1;
        }
        i == a.len() && i == b.len()
    }
}

//! What the derive macro writes calls to; not API.

#![expect(missing_docs, reason = "nobody reads it but generated code")]

use crate::{Error, Key, Kind, Result};
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

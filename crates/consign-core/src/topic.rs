//! Names of topics and subscriptions, and keys: checked once, where they enter.

use crate::{Error, KEY_BYTES_MAX, NAME_CHARACTERS_MAX, Result};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// The named, durable sequence that messages are published to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

/// The name of a durable reader of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionName(Arc<str>);

/// The name of something that is due again and again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CronName(Arc<str>);

macro_rules! name {
    ($name:ident, $noun:literal) => {
        impl $name {
            /// Checks a name: `[a-z][a-z0-9_.-]{0,62}`.
            ///
            /// # Errors
            /// `bad-name` says which character or length is wrong.
            pub fn new(name: &str) -> Result<Self> {
                checked($noun, name).map(|name| Self(name.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(Topic, "topic");
name!(SubscriptionName, "subscription");
name!(CronName, "cron");

fn checked<'a>(noun: &str, name: &'a str) -> Result<&'a str> {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(c);
    if starts && name.chars().all(allowed) && name.len() <= NAME_CHARACTERS_MAX {
        return Ok(name);
    }
    Err(Error::new(
        "bad-name",
        format!(
            "{name:?} cannot name a {noun}: a name starts with a-z, goes on with a-z 0-9 _ . - \
             and has at most {NAME_CHARACTERS_MAX} characters"
        ),
    ))
}

/// What must stay in order: messages of one topic with equal keys take effect in publish order.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Bytes);

impl Key {
    /// Checks a key: at most [`KEY_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// `key-too-long`.
    pub fn new(key: impl Into<Bytes>) -> Result<Self> {
        let key = key.into();
        if key.len() <= KEY_BYTES_MAX {
            return Ok(Self(key));
        }
        let found = key.len();
        let message = format!(
            "a key has at most {KEY_BYTES_MAX} bytes, this one has {found}: use an id, not a text"
        );
        Err(Error::new("key-too-long", message))
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", String::from_utf8_lossy(&self.0))
    }
}

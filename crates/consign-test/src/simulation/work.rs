//! The messages of a simulation: each says itself how its handlers fare.

use bytes::Bytes;
use consign_core::{Error, Key, Kind, Message, Result};

/// What subscriptions read.
pub(super) const DONE: Kind = Kind { name: "work.done", version: 1 };
/// What none of them names.
pub(super) const OTHER: Kind = Kind { name: "work.other", version: 1 };
const NO_KEY: u8 = u8::MAX;

/// A message.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) number: u64,
    /// One of a few; `None`: it waits for nobody.
    pub(super) key: Option<u8>,
    pub(super) script: Script,
}

/// How handlers fare with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// It is applied.
    Fine,
    /// Its first attempts fail.
    Flaky(u32),
    /// Every attempt fails.
    Poison,
    /// It is rejected.
    Rejected,
    /// It is obsolete.
    Discarded,
    /// It comes too early, once.
    Snoozed,
    /// Its first attempt panics.
    Panics,
    /// Its first attempt takes longer than it may.
    Hangs,
    /// Whoever runs it dies.
    Kills,
}

impl Script {
    const ALL: [Self; 10] = [
        Self::Fine,
        Self::Flaky(1),
        Self::Flaky(2),
        Self::Poison,
        Self::Rejected,
        Self::Discarded,
        Self::Snoozed,
        Self::Panics,
        Self::Hangs,
        Self::Kills,
    ];

    fn byte(self) -> u8 {
        let index = Self::ALL.iter().position(|script| *script == self);
        u8::try_from(index.expect("it is one of all")).expect("there are few")
    }
}

impl Work {
    /// The same word for each key, and another for each message without one, in letters: failures of
    /// different keys are different failures.
    pub(super) fn whose(&self) -> String {
        let letters = |number: u64| {
            let letter =
                |digit: char| char::from(b'a' + u8::try_from(digit).unwrap_or(b'0') - b'0');
            number.to_string().chars().map(letter).collect::<String>()
        };
        self.key.map_or_else(|| letters(self.number), |key| format!("key {}", letters(key.into())))
    }

    pub(super) fn key_text(&self) -> Option<String> {
        self.key.map(|key| format!("k{key}"))
    }
}

impl Message for Work {
    const TOPIC: &'static str = "work";
    const KINDS: &'static [Kind] = &[DONE];

    fn kind(&self) -> Kind {
        DONE
    }

    fn key(&self) -> Result<Option<Key>> {
        self.key_text().map(Key::new).transpose()
    }

    fn encode(&self) -> Result<Bytes> {
        let mut bytes = self.number.to_le_bytes().to_vec();
        bytes.extend([self.key.unwrap_or(NO_KEY), self.script.byte()]);
        Ok(bytes.into())
    }

    fn decode(_: &str, _: u32, payload: &[u8]) -> Result<Self> {
        let cut = || Error::new("decode", "it is no work");
        let (number, rest) = payload.split_first_chunk::<8>().ok_or_else(cut)?;
        let &[key, script] = rest else { return Err(cut()) };
        let script = *Script::ALL.get(usize::from(script)).ok_or_else(cut)?;
        let key = Some(key).filter(|key| *key != NO_KEY);
        Ok(Self { number: u64::from_le_bytes(*number), key, script })
    }
}

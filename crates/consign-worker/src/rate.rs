//! How fast a queue may go.

/// How many messages a second a queue begins with, in all processes together; see
/// [`Queue::rate`](crate::Queue::rate).
///
/// # Examples
/// ```
/// use consign_worker::Rate;
///
/// // What the mail server takes: 14 a second, and after a quiet while 50 at once.
/// let rate = Rate::per_second(14).burst(50);
/// # let _ = rate;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

impl Rate {
    /// So many messages a second (at least 1), and at once what a tenth of a second brings.
    #[must_use]
    pub fn per_second(messages: u32) -> Self {
        let per_second = messages.max(1);
        Self { per_second, burst: (per_second / 10).max(1) }
    }

    /// So many messages at once (at least 1), after as long a quiet time as it takes to save them up.
    #[must_use]
    pub fn burst(self, messages: u32) -> Self {
        Self { burst: messages.max(1), ..self }
    }
}

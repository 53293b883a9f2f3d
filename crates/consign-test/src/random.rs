//! Random numbers of tests, from a seed that is printed.

use std::time::{SystemTime, UNIX_EPOCH};

/// Numbers from a seed: `SEED=… cargo test NAME` plays them again. It is splitmix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Takes the seed from the environment or the clock, and prints it with the test's name.
    ///
    /// # Panics
    /// If `SEED` is set and no number.
    #[expect(clippy::disallowed_methods, reason = "where a seed comes from; it is printed")]
    #[expect(clippy::print_stdout, reason = "whoever sees the test fail needs the seed")]
    pub fn new(test: &str) -> Self {
        let given = std::env::var("SEED").ok();
        let seed = given.map_or_else(
            || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs()),
            |seed| seed.parse().expect("SEED is a number"),
        );
        println!("{test}: SEED={seed}");
        Self(seed)
    }

    /// Takes the seed that is given.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// Numbers of one's own for a part of the test, that depend on nobody else's use of these.
    #[must_use]
    pub fn part(&mut self) -> Self {
        Self(self.number())
    }

    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    ///
    /// # Panics
    /// If `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("a small number");
        usize::try_from(self.number() % end).expect("it is below a usize")
    }

    /// One of two.
    pub fn coin(&mut self) -> bool {
        self.below(2) == 1
    }

    /// Puts items into any order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

//! What the tests of several crates need.

mod random;

pub use random::Random;

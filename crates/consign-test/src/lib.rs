//! What the tests of several crates need.

pub mod checker;
pub mod history;
mod random;
pub mod simulation;

pub use history::History;
pub use random::Random;

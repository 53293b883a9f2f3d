//! Tests of what tests are made of.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "tests read and write files")]

mod bad_histories;
#[cfg(feature = "harness")]
mod conformance;
#[cfg(feature = "harness")]
mod examples;
mod files;
mod good_histories;
#[cfg(feature = "harness")]
mod harness;
mod model;
mod mutations;
mod simulation;
#[cfg(feature = "harness")]
mod torture;

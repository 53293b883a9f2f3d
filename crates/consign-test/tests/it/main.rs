//! Tests of what tests are made of.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "tests read and write files")]

mod bad_histories;
mod files;
mod good_histories;
mod model;
mod mutations;
mod simulation;

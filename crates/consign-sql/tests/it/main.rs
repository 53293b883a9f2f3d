//! The ledger of queues, on a real file: what a worker asks of it, and what it must refuse.
#![allow(clippy::disallowed_methods, reason = "tests look at the clock")]

mod commands;
mod counts;
mod database;
mod dead_letters;
mod durable;
mod faults;
mod marks;
mod parked;
mod savepoints;
mod status;
mod suspects;

//! Tests of the facade: what its users write, and what they are told.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests read files, look at the clock, and print their seeds"
)]

mod any_order;
mod attacks;
mod backfill;
mod caught_up;
mod child;
mod cron;
mod cut_short;
mod database;
mod disk_full;
mod ending;
mod errors;
mod examples;
mod existing_service;
mod expiry;
mod explain;
mod gate;
mod hang_up;
mod idle;
mod in_the_way;
mod journal;
mod kept_statements;
mod kinds;
mod layers;
mod limits;
mod lock_wait;
mod members;
mod message;
mod operate;
mod owners;
mod power_cut;
mod publish;
mod queue;
mod queue_judge;
mod queue_kill;
mod queue_owners;
mod queue_power_cut;
mod queue_restart;
mod queue_work;
mod readers;
mod reading;
mod rebuild;
mod retention;
mod run;
mod runtime_ends;
mod said;
mod schedule;
mod setback;
mod shared_commit;
mod stopped;
mod stream;
mod sum;
mod taken_back;
mod unique;
mod watchdog;

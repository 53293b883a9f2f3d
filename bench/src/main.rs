//! The figures: each one measured beside what it is compared with, in one run.

mod backlog;
mod bench;
mod database;
mod drained;
mod figures;
mod http;
mod latencies;
mod machine;
mod messages;
mod open_loop;
mod part;
mod peer;
mod queue_by_hand;
mod queue_worker;
mod record;
mod shim;
mod site;
mod worker;

use std::process::ExitCode;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Result<T = ()> = std::result::Result<T, BoxError>;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let done = match words.next().as_deref() {
        Some(part::WORD) => part::run_here(&words.next().unwrap_or_default()),
        _ => bench::run(),
    };
    done.map_or_else(
        |error| {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

//! What messages that fail cost those that do not.

use crate::Result;
use crate::backlog::Waiting;
use crate::bench::{Bench, SMALL};
use crate::figures::queue_rate::drain_here;
use crate::messages::AUTHORS;
use crate::queue_worker::{Fails, Form};
use crate::record::{Goal, Record};

const WAITING: Waiting = Waiting { messages: 60_000, bytes: SMALL };
const POISON: Fails = Fails::Author(13);

pub(crate) fn measure(bench: &Bench, record: &mut Record) -> Result {
    let clean = rate(bench, Fails::None)?;
    record.add("clean", "effects/s", Goal::None, clean);
    let rows = [
        ("one poison key among 1,000, the others", POISON, Goal::AtLeast(0.9)),
        ("1 % fail at random after they have written", Fails::Percent(1), Goal::None),
        ("5 % fail at random after they have written", Fails::Percent(5), Goal::None),
    ];
    for (name, fails, goal) in rows {
        let rate = rate(bench, fails)?;
        record.add(name, "effects/s", Goal::None, rate);
        record.add(&format!("{name} ÷ clean"), "", goal, rate / clean);
    }
    Ok(())
}

fn rate(bench: &Bench, fails: Fails) -> Result<f64> {
    let database = bench.with_backlog("queue-poison.db", WAITING)?;
    let messages = WAITING.messages as i64;
    let poison = if matches!(fails, Fails::Author(_)) { messages / AUTHORS } else { 0 };
    let rate = drain_here(&database, messages - poison, Form::Tx(fails), 1)?;
    crate::drained::verify_once(&database, messages - poison)?;
    Ok(rate.per_second)
}

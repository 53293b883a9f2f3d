//! What it costs a queue that it could try again, and park keys, where nothing fails.
//!
//! Compared with the same handler under `Order::Skip` and one attempt: of its messages none is ever
//! tried again and no key is ever parked, so that there is nothing to keep books of.

use crate::Result;
use crate::backlog::Waiting;
use crate::bench::{Bench, SMALL};
use crate::figures::queue_rate::drain;
use crate::latencies::median;
use crate::queue_worker::{Fails, Form};
use crate::record::{Goal, Record};

const WAITING: Waiting = Waiting { messages: 60_000, bytes: SMALL };
/// Pairs of a run, one after the other, so that others on the machine disturb both alike.
const PAIRS: usize = 5;

pub(crate) fn measure(bench: &Bench, record: &mut Record) -> Result {
    let messages = WAITING.messages as i64;
    let (mut with, mut without, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let mut forms = [(Form::Tx(Fails::None), &mut with), (Form::TxOnce, &mut without)];
        if pair % 2 == 1 {
            forms.reverse();
        }
        for (form, rates) in forms {
            rates.push(drain(bench, messages, form, 1)?.per_second);
        }
        ratios.push(with[pair] / without[pair]);
    }
    record.add("retries and parked keys", "effects/s", Goal::None, median(&with));
    record.add("one attempt, no parked keys", "effects/s", Goal::None, median(&without));
    record.add("with ÷ without", "", Goal::AtLeast(0.95), median(&ratios));
    Ok(())
}

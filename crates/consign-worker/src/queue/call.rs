//! One call of a handler, whatever it does.

use super::fate::Failure;
use super::item::Item;
use crate::effect::panic_text;
use crate::handler::Handler;
use consign_core::{Tx, Verdict};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime};

/// Decodes messages and calls the handler: panics and calls that take too long are failures.
pub(crate) async fn call<C, H>(
    handler: &H,
    items: &[Item],
    tx: Option<Tx<C>>,
    (now, timeout): (SystemTime, Duration),
) -> Result<(), Failure>
where
    C: Send + 'static,
    H: Handler<C>,
{
    let events = items.iter().map(|item| item.decode(now)).collect::<Result<Vec<_>, _>>();
    let events = events.map_err(Failure::Undecodable)?;
    let called = AssertUnwindSafe(async { handler.call(events, tx).await }).catch_unwind();
    let verdict = match tokio::time::timeout(timeout, called).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(panic)) => Err(retry(format!("it panicked: {}", panic_text(&*panic)))),
        Err(_) => Err(retry(format!("it took longer than {timeout:?}"))),
    };
    verdict.map_err(Failure::Verdict)
}

fn retry(why: String) -> Verdict {
    Verdict::Retry(why.into())
}

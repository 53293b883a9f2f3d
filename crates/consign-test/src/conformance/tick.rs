//! A tick of a cron is published once, whoever publishes it.

use super::Kept;
use super::probe::{Found, draft, read_all};
use super::report::same;
use super::subject::Subject;
use consign_core::{CronName, ScheduleLedger};
use std::time::Duration;

pub(super) const NAME: &str = "a tick is published once whoever publishes it";

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let (one, driver) = s.process().await;
    let (other, _) = s.process().await;
    let name = CronName::new("conformance")?;
    let begun = one.name_cron(&name, "* * * * * UTC").await?;
    same(
        "when it begins for another process",
        &other.name_cron(&name, "* * * * * UTC").await?,
        &begun,
    )?;
    let mut from = begun;
    for number in 0..5 {
        let to = from + Duration::from_mins(1);
        let tick = || Ok::<_, consign_core::Error>(vec![draft(s, number, Some("a"))?]);
        let (ours, theirs) =
            tokio::join!(one.tick(&name, from, to, tick()?), other.tick(&name, from, to, tick()?));
        same("how many of two have published it", &(u8::from(ours?) + u8::from(theirs?)), &1)?;
        same("when the last one was due", &one.last_tick(&name).await?, &Some(to))?;
        from = to;
    }
    let back = one.tick(&name, from, begun, vec![draft(s, 9, Some("a"))?]).await?;
    same("whether time goes back", &back, &false)?;
    let numbers = read_all(s, &driver, 100).await?.iter().map(Found::number).collect::<Vec<_>>();
    same("the ticks in the log", &numbers, &(0..5).collect())
}

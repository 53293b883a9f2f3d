//! What is due comes into the log, once, whoever brings it; what is not stays away.

use super::Kept;
use super::probe::{Found, draft, read_all};
use super::report::same;
use super::subject::Subject;
use consign_core::{DueTime, Result, ScheduleLedger};
use std::time::Duration;

pub(super) const NAME: &str = "what is due comes into the log once and what is not stays away";
const HOUR: Duration = Duration::from_hours(1);
/// A message is due so soon.
const SOON: Duration = Duration::from_millis(300);
/// Looks at the schedule, at most.
const LOOKS_MAX: usize = 2_000;

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let (one, driver) = s.process().await;
    let (other, _) = s.process().await;
    let now = one.time();
    let due = |number: u64| if number < 10 { now + SOON } else { now + HOUR };
    let drafts = (0..12).map(|number| {
        let mut draft = draft(s, number, Some("a"))?;
        draft.due = Some(DueTime::At(due(number)));
        Ok(draft)
    });
    s.publish(drafts.collect::<Result<Vec<_>>>()?, true).await?;
    let before = read_all(s, &driver, 100).await?;
    // On a machine that is busy it may be due before it is published, and is in the log at once.
    let mut promoted = before.len();
    for _ in 0..LOOKS_MAX {
        if one.next_due().await?.is_none_or(|next| next > now + SOON) {
            break;
        }
        let (one, other) = tokio::join!(one.promote(), other.promote());
        promoted += one? + other?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    same("how many came into the log", &promoted, &10)?;
    let found = read_all(s, &driver, 100).await?;
    let numbers = found.iter().map(Found::number).collect::<Vec<_>>();
    same("what is in the log, in order", &numbers, &(0..10).collect())
}

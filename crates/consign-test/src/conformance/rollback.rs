//! What was taken back is never read.

use super::Kept;
use super::probe::{Found, draft, publish, read_all};
use super::report::same;
use super::subject::Subject;

pub(super) const NAME: &str = "what was rolled back is never read";

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    publish(s, 0..1, Some("a")).await?;
    s.publish(vec![draft(s, 1, Some("a"))?, draft(s, 2, None)?], false).await?;
    publish(s, 3..4, Some("a")).await?;
    let (_ledger, driver) = s.process().await;
    let mut numbers = read_all(s, &driver, 10).await?.iter().map(Found::number).collect::<Vec<_>>();
    numbers.sort_unstable();
    same("the messages that are read", &numbers, &vec![0, 3])
}

//! Who goes back reads the same again.

use super::Kept;
use super::probe::{Found, publish_and_find, read_from};
use super::report::same;
use super::subject::Subject;
use consign_core::Driver;

pub(super) const NAME: &str = "a reader that goes back reads the same again";

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let published = publish_and_find(s, 9).await?;
    let (_ledger, driver) = s.process().await;
    let mut reader = driver.reader(&s.topic()).await?;
    let places = |all: &[Found]| all.iter().map(|one| (one.offset, one.envelope.id)).collect();
    for back in [4, 0, 7] {
        let mut again = Vec::new();
        let from = (published[back].partition, published[back].offset);
        read_from(&mut reader, from, 2, &mut again).await?;
        let wanted: Vec<_> = places(&published[back..]);
        same(&format!("what is read from message {back} on"), &places(&again), &wanted)?;
    }
    Ok(())
}

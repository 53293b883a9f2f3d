//! Messages of one key lie in one partition, in the order they were published.

use super::Kept;
use super::probe::{Found, publish, read_all};
use super::report::same;
use super::subject::Subject;
use std::collections::BTreeSet;

pub(super) const NAME: &str = "messages of one key lie in one partition in publish order";
const KEYS: [&str; 3] = ["a", "b", "c"];

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    for number in 0..24 {
        publish(s, number..number + 1, Some(KEYS[(number % 3) as usize])).await?;
    }
    let (_ledger, driver) = s.process().await;
    let found = read_all(s, &driver, 2).await?;
    for (nth, key) in (0..).zip(KEYS) {
        let mine = |found: &&Found| {
            found.envelope.key.as_ref().is_some_and(|found| found.as_bytes() == key.as_bytes())
        };
        let mine = found.iter().filter(mine).collect::<Vec<_>>();
        let partitions = mine.iter().map(|found| found.partition).collect::<BTreeSet<_>>();
        same(&format!("the partitions of the key {key}"), &partitions.len(), &1)?;
        let numbers = mine.iter().map(|found| found.number()).collect::<Vec<_>>();
        same(&format!("the key {key}"), &numbers, &(0..8).map(|n| n * 3 + nth).collect())?;
        let rises = mine.windows(2).all(|pair| pair[0].offset < pair[1].offset);
        same(&format!("whether the offsets of the key {key} rise"), &rises, &true)?;
    }
    Ok(())
}

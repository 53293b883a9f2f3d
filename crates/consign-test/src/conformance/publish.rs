//! What was accepted is read, once, and as it was published.

use super::Kept;
use super::probe::{PROBE, draft, read_all};
use super::report::same;
use super::subject::Subject;
use consign_core::Key;

pub(super) const NAME: &str = "what was accepted is read once and as it was published";
const HEADERS: &[u8] = br#"{"traceparent":"00-1-2-01"}"#;

pub(super) async fn attempt<S: Subject>(s: &S) -> Kept {
    let mut drafts = Vec::new();
    for number in 0..20 {
        let mut draft = draft(s, number, [None, Some("a"), Some("b")][(number % 3) as usize])?;
        if number == 7 {
            draft.headers = HEADERS.into();
        }
        drafts.push(draft);
    }
    s.publish(drafts.clone(), true).await?;
    let (_ledger, driver) = s.process().await;
    let mut found = read_all(s, &driver, 3).await?;
    found.sort_by_key(super::probe::Found::number);
    let numbers = found.iter().map(super::probe::Found::number).collect::<Vec<_>>();
    same("the messages that are read", &numbers, &(0..20).collect())?;
    for (found, draft) in found.iter().zip(drafts) {
        let envelope = &found.envelope;
        let what = format!("message {}", found.number());
        same(&what, &(&*envelope.kind, envelope.version), &(PROBE.name, PROBE.version))?;
        same(
            &what,
            &envelope.key.as_ref().map(Key::as_bytes),
            &draft.key.as_ref().map(Key::as_bytes),
        )?;
        same(&what, &envelope.headers, &draft.headers)?;
        same(&what, &envelope.payload, &draft.payload)?;
    }
    Ok(())
}

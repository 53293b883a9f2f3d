//! The list of dead letters, a page at a time.

use crate::database::{Database, Worker, dead};
use consign_core::{Offset, Settle};
use consign_sql::DeadLetters;

const LETTERS: u64 = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_many_pages_is_read_the_newest_first_each_letter_once() {
    let database = Database::new().await;
    let keys = (0..LETTERS).map(|_| None).collect::<Vec<_>>();
    database.publish(&keys[..4]).await;
    let worker = Worker::start(&database).await;
    let aside = (0..4).map(|offset| (Offset(offset), dead("refused"))).collect();
    worker.settle(Settle { aside, ..worker.part(0, 4) }).await;
    let mut found = Vec::new();
    let mut wanted = DeadLetters { subscription: Some("mailer".into()), ..Default::default() };
    loop {
        let page = database.log.dead_letters(&wanted, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        wanted.before = Some(last.id);
        found.extend(page.into_iter().map(|letter| letter.id));
    }
    assert_eq!(found, [4, 3, 2, 1]);
}

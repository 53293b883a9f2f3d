//! A program's runtime ends while requests and workers are under way: quietly, and nothing is lost.

use crate::child::{Child, Role, open};
use crate::database::{Database, Liked, likes};
use consign::sqlite::Tx;
use consign::{Batch, HandlerResult, Projection, stream};
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Runtime;

const ENDS: u32 = 20;

/// The role [`Role::EndsUnderLoad`].
pub(crate) fn under_load(folder: &Path) {
    let folder = folder.to_path_buf();
    let ends = std::thread::spawn(move || {
        for end in 0..ENDS {
            let runtime = Runtime::new().unwrap();
            let running = runtime.block_on(load(&folder));
            std::thread::sleep(Duration::from_millis(20 + u64::from(end)));
            drop(runtime);
            drop(running);
        }
    });
    ends.join().unwrap();
}

async fn load(folder: &Path) -> consign::Running {
    let consign = open(folder).await;
    for _ in 0..4 {
        let consign = consign.clone();
        tokio::spawn(async move {
            loop {
                let _ = consign.publish(&Liked { article_id: 1 }).await;
            }
        });
    }
    consign.workers().subscribe(stream("likes", likes())).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_ends_under_load_panics_nowhere_and_loses_nothing() {
    let d = Database::new().await;
    let mut child = Child::start(Role::EndsUnderLoad, d.folder.path());
    assert!(child.ended().success(), "{}", child.printed());
    let printed = child.printed();
    assert!(!printed.contains("panicked"), "{printed}");
    let running = d.consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    let published = d.number("select count(*) from consign_log").await;
    assert!(published > i64::from(ENDS), "{published} messages are no load");
    d.becomes("select coalesce(sum(likes), 0) from like_counts", published).await;
    running.shutdown().await.unwrap();
}

/// Holds its transaction for as long as it is let.
struct Holds(std::sync::mpsc::Sender<()>);

impl Projection<Tx> for Holds {
    type Event = Liked;

    async fn apply(&self, _: Batch<Liked>, mut tx: Tx) -> HandlerResult {
        let insert = "insert into likes (article_id) values (666)";
        sqlx::query(insert).execute(&mut *tx).await?;
        let _ = self.0.send(());
        std::future::pending().await
    }

    async fn reset(&self, _: Tx) -> HandlerResult {
        Ok(())
    }
}

#[test]
fn a_workers_transaction_ends_with_its_runtime_and_workers_of_another_one_go_on() {
    let (first, second) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let d = second.block_on(Database::new());
    second.block_on(d.consign.publish(&Liked { article_id: 1 }).into_future()).unwrap();
    let (said, holds) = std::sync::mpsc::channel();
    let workers = d.consign.workers().subscribe(stream("holds", Holds(said)));
    let running = first.block_on(workers.start()).unwrap();
    holds.recv().unwrap();
    drop(first);
    drop(running);
    second.block_on(async {
        d.like(2).await.unwrap();
        let likes = stream("likes", likes());
        let running = d.consign.workers().subscribe(likes).start().await.unwrap();
        d.becomes("select coalesce(sum(likes), 0) from like_counts", 2).await;
        assert_eq!(d.number("select count(*) from likes where article_id = 666").await, 0);
        running.shutdown().await.unwrap();
    });
}

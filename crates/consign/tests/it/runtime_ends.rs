//! A program's runtime ends while requests and workers are under way: quietly, and nothing is lost.

use crate::child::{Child, Role, open};
use crate::database::{Database, Liked, likes};
use consign::stream;
use std::path::Path;
use std::time::Duration;

const ENDS: u32 = 20;

/// The role [`Role::EndsUnderLoad`].
pub(crate) fn under_load(folder: &Path) {
    let folder = folder.to_path_buf();
    let ends = std::thread::spawn(move || {
        for end in 0..ENDS {
            let runtime = tokio::runtime::Runtime::new().unwrap();
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

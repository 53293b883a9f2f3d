//! A disk that is full.

use crate::site::Place;

const DISK_BYTES: usize = 20 * 1024 * 1024;
/// More than what is stored by then: the index of it all has to fit in once there is room.
const BALLAST_BYTES: usize = 14 * 1024 * 1024;

#[tokio::test]
async fn a_full_disk_refuses_what_is_new_and_loses_nothing() {
    let place = Place::new();
    let process = place.run_on_small_disk(DISK_BYTES);
    place.ready().await;
    let author = place.author().await;
    let before = place.settled().await["articles"].as_i64().unwrap();
    // Written by somebody else on the same disk, who later makes room.
    let ballast = process.path(&place.data().join("ballast"));
    std::fs::write(&ballast, vec![0; BALLAST_BYTES]).unwrap();

    let mut accepted = Vec::new();
    let body = "word ".repeat(8_000);
    let refused = loop {
        let answer = author.client.publish("Until it is full", &body).await;
        if answer.status != 201 {
            break answer;
        }
        accepted.push(answer.body["id"].as_i64().unwrap());
        assert!(accepted.len() < 1_000, "the disk is never full");
    };
    refused.expect_problem(507);
    author.client.get("/").await.expect_status(200);
    let audit = author.client.get("/api/audit").await;
    let stored = before + i64::try_from(accepted.len()).unwrap();
    assert_eq!(audit.expect_status(200)["articles"], stored, "half an article: {audit:?}");

    std::fs::remove_file(ballast).unwrap();
    accepted.push(author.publish("There is room again", "for a numbat").await);
    let audit = place.settled().await;
    assert_eq!(audit["differences"], serde_json::json!([]));
    assert_eq!(audit["articles"], stored + 1);
    for id in &accepted {
        author.client.get(&format!("/api/articles/{id}")).await.expect_status(200);
    }
    assert_eq!(author.client.search("numbat room").await, [*accepted.last().unwrap()]);
}

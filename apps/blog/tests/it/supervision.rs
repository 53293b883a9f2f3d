//! Processes: who starts whom, who outlives whom, and how all of it ends.

use std::time::Duration;

use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::eventually::eventually;
use crate::process::{Process, is_alive, signal};
use crate::site::{Place, Site};

const WORKERS: [&str; 2] = ["counter", "search"];
/// A counter, a search and two mailers.
const CHILDREN: usize = 4;
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn each_worker_is_a_child_of_the_started_process() {
    let site = Site::shared().await;
    for worker in WORKERS {
        let id = site.process.child(worker, &[]).await;
        assert_eq!(site.process.children(worker), [id]);
        assert!(site.process.children("worker").contains(&id));
    }
    eventually("two mailers are there", Duration::from_secs(10), async || {
        (site.process.children("mailer").len() == 2).then_some(())
    })
    .await;
    assert_eq!(site.process.children("worker").len(), CHILDREN);
}

#[tokio::test]
async fn a_killed_worker_is_started_again_and_goes_on() {
    let site = Site::start().await;
    let author = site.author().await;
    for worker in WORKERS {
        let killed = site.process.child(worker, &[]).await;
        signal(killed, "KILL");
        author.publish("Meanwhile", "a quoll").await;
        let started = site.process.child(worker, &[killed]).await;
        assert!(is_alive(started));
        let said = format!("worker {worker} (process {killed}) ended");
        assert!(site.process.printed().contains(&said), "{}", site.process.printed());
    }
    assert_eq!(site.settled().await["differences"], serde_json::json!([]));
    assert_eq!(site.client().search("quoll").await.len(), 2);
}

#[tokio::test]
async fn a_worker_that_keeps_dying_is_started_less_and_less_often() {
    let site = Site::start().await;
    let mut killed = Vec::new();
    for wait in [100, 200, 400, 800] {
        let id = site.process.child("counter", &killed).await;
        signal(id, "KILL");
        killed.push(id);
        let said =
            format!("(process {id}) ended, signal: 9 (SIGKILL): starting it again in {wait} ms");
        eventually(&said, Duration::from_secs(2), async || {
            site.process.printed().contains(&said).then_some(())
        })
        .await;
    }
    site.process.child("counter", &killed).await;
}

#[tokio::test]
async fn a_worker_that_hangs_is_killed_and_started_again() {
    let site = Site::start().await;
    let hanging = site.process.child("search", &[]).await;
    signal(hanging, "STOP");
    site.process.child("search", &[hanging]).await;
    assert!(!is_alive(hanging));
    let said = format!("(process {hanging}) showed no sign of life");
    assert!(site.process.printed().contains(&said), "{}", site.process.printed());
    site.author().await.publish("After it hung", "an ocelot").await;
    site.settled().await;
    assert_eq!(site.client().search("ocelot").await.len(), 1);
}

#[tokio::test]
async fn asked_to_stop_all_of_it_ends_in_time() {
    for name in ["TERM", "INT"] {
        let Site { mut process, place } = Site::start().await;
        let children = process.children("worker");
        assert_eq!(children.len(), CHILDREN);
        // A kept-alive connection is open, and a request is under way.
        let client = place.client();
        client.get("/api/audit").await.expect_status(200);
        process.signal(name);
        ended_well(&mut process, &children).await;
        assert!(client.try_get("/").await.is_none(), "somebody still answers");
    }
}

#[tokio::test]
async fn asked_to_stop_it_ends_event_streams() {
    let Site { mut process, place } = Site::start().await;
    let children = process.children("worker");
    let stream = place.client().request(Method::GET, "/live?author=1").send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    process.signal("TERM");
    stream.text().await.expect("the stream ends, it does not break off");
    ended_well(&mut process, &children).await;
}

#[tokio::test]
async fn asked_to_stop_it_finishes_a_request_that_is_under_way() {
    let Site { mut process, place } = Site::start().await;
    let (children, author) = (process.children("worker"), place.author().await);
    let body = r#"{"title":"Last","body":"one"}"#;
    let head = format!(
        "POST /api/articles HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        place.listen,
        author.token,
        body.len(),
    );
    let mut connection = TcpStream::connect(place.listen).await.unwrap();
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut continued = [0; 25];
    connection.read_exact(&mut continued).await.unwrap();
    assert_eq!(&continued, b"HTTP/1.1 100 Continue\r\n\r\n");
    process.signal("TERM");
    eventually("it stops listening", STOPPED_WITHIN, async || {
        TcpStream::connect(place.listen).await.is_err().then_some(())
    })
    .await;
    connection.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    ended_well(&mut process, &children).await;
}

#[tokio::test]
async fn asked_to_stop_just_after_a_worker_was_killed_it_ends_all_the_same() {
    let Site { mut process, place: _place } = Site::start().await;
    let children = process.children("worker");
    signal(children[0], "KILL");
    process.signal("TERM");
    ended_well(&mut process, &children).await;
}

#[tokio::test]
async fn asked_to_stop_while_it_starts_it_ends_in_time() {
    let place = Place::new();
    let mut process = place.run(&[]);
    eventually("its database is there", Duration::from_secs(20), async || {
        place.database().exists().then_some(())
    })
    .await;
    process.signal("TERM");
    let status = process.ended(STOPPED_WITHIN).await;
    assert_eq!(status.code(), Some(0), "{}", process.printed());
}

#[tokio::test]
async fn no_worker_outlives_its_supervisor() {
    let Site { mut process, place } = Site::start().await;
    let children = process.children("worker");
    assert_eq!(children.len(), CHILDREN);
    process.kill();
    gone(&children, Duration::from_secs(5)).await;
    // The address and the data are free at once.
    let _again = place.run(&[]);
    place.ready().await;
}

#[tokio::test]
async fn a_worker_run_alone_lives_without_standard_input() {
    let place = Place::new();
    let _api = place.run(&["api"]);
    let mut worker = place.run(&["worker", "counter"]);
    let client = place.client();
    eventually("it counts", Duration::from_secs(30), async || {
        let audit = client.try_get("/api/audit").await?;
        (audit.body["subscriptions"][0]["lag"] == 0).then_some(())
    })
    .await;
    assert!(is_alive(worker.id()));
    worker.signal("TERM");
    assert!(worker.ended(STOPPED_WITHIN).await.success());
}

#[tokio::test]
async fn tokens_hold_after_a_kill() {
    let Site { mut process, place } = Site::start().await;
    let author = place.author().await;
    let id = author.publish("Before", "the kill").await;
    process.kill();
    let _again = place.run(&[]);
    place.ready().await;
    author.client.get(&format!("/api/articles/{id}")).await.expect_status(200);
    author.publish("After", "the kill").await;
}

async fn ended_well(process: &mut Process, children: &[u32]) {
    let status = process.ended(STOPPED_WITHIN).await;
    assert_eq!(status.code(), Some(0), "{}", process.printed());
    gone(children, Duration::from_secs(1)).await;
}

async fn gone(processes: &[u32], within: Duration) {
    eventually("the workers are gone", within, async || {
        processes.iter().all(|process| !is_alive(*process)).then_some(())
    })
    .await;
}

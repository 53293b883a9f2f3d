//! Clients that hang up before they have their answer.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::site::{Author, Site};

const CLIENTS: u32 = 96;

#[tokio::test]
async fn who_hangs_up_leaves_nothing_behind_that_others_wait_for() {
    let site = Site::start().await;
    let author = site.author().await;
    let before = site.settled().await["articles"].as_i64().unwrap();
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let request = request(&site, &author);
        let address = site.listen;
        clients.spawn(async move {
            let mut connection = TcpStream::connect(address).await.unwrap();
            connection.write_all(request.as_bytes()).await.unwrap();
            // Some at once, some while it begins, publishes or commits.
            let until = Instant::now() + Duration::from_micros(150) * number;
            while Instant::now() < until {
                tokio::task::yield_now().await;
            }
        });
    }
    clients.join_all().await;
    author.publish("Afterwards", "all is well").await;
    let audit = site.settled().await;
    assert_eq!(audit["differences"], serde_json::json!([]));
    let published = audit["articles"].as_i64().unwrap() - before;
    assert!((1..=i64::from(CLIENTS) + 1).contains(&published), "{published} were published");
    // Every reader is there again, too: as many audits at once as there are connections, and more.
    let mut audits = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let client = site.client();
        audits.spawn(async move { client.get("/api/audit").await.status });
    }
    assert_eq!(audits.join_all().await, [200; 24]);
}

fn request(site: &Site, author: &Author) -> String {
    let body = r#"{"title":"Hung up","body":"on you"}"#;
    format!(
        "POST /api/articles HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        site.listen,
        author.token,
        body.len(),
    )
}

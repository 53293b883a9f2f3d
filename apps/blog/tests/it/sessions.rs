//! Login sessions: how long they last, and what the database knows of them.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection};

use crate::site::{Place, Site};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

#[tokio::test]
async fn a_session_ends_half_an_hour_after_its_last_use() {
    let site = Site::shared().await;
    check(&site, "seen_at", 29 * MINUTE, 201).await;
    check(&site, "seen_at", 31 * MINUTE, 401).await;
}

#[tokio::test]
async fn a_session_ends_after_thirty_days_however_much_it_is_used() {
    let site = Site::shared().await;
    check(&site, "created_at", 30 * DAY - MINUTE, 201).await;
    check(&site, "created_at", 30 * DAY + MINUTE, 401).await;
}

#[tokio::test]
async fn using_a_session_prolongs_it() {
    let site = Site::shared().await;
    let author = site.author().await;
    for _ in 0..3 {
        age(&site, &author.name, "seen_at", 20 * MINUTE).await;
        author.publish("Still", "here").await;
    }
}

#[tokio::test]
async fn neither_tokens_nor_passwords_are_in_the_data() {
    let place = Place::new();
    let mut site = place.run(&[]);
    place.ready().await;
    let author = place.author().await;
    let canary = "canary sings at five";
    place.client().sign_up("canary", canary).await.expect_status(201);
    let signed_in = place.client().sign_in("canary", canary).await;
    let token = signed_in.expect_status(201)["token"].as_str().unwrap().to_owned();
    author.publish("In the data", "platypus").await;
    site.signal("TERM");
    assert!(site.ended(Duration::from_secs(10)).await.success());

    let folders = [place.data(), place.data().join("mail")];
    let files = folders.iter().flat_map(|folder| folder.read_dir().unwrap().flatten());
    let files = files.map(|entry| entry.path()).filter(|path| path.is_file());
    let data: Vec<u8> = files.flat_map(|file| std::fs::read(file).unwrap()).collect();
    let holds = |text: &str| data.windows(text.len()).any(|piece| piece == text.as_bytes());
    assert!(holds("platypus"), "the search looks at the right place");
    for secret in [&*token, canary, &author.token] {
        assert!(!holds(secret), "{secret}");
        assert!(!site.printed().contains(secret), "{secret} is in the log");
    }
}

/// Makes a session older, and publishes with its token.
async fn check(site: &Place, column: &str, by: i64, status: u16) {
    let author = site.author().await;
    age(site, &author.name, column, by).await;
    let answer = author.client.publish("A title", "A text").await;
    assert_eq!(answer.status, status, "{column} {by} ms ago");
}

async fn age(site: &Place, name: &str, column: &str, by: i64) {
    let options = SqliteConnectOptions::new().filename(site.database());
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let statement = format!(
        "update sessions set {column} = {column} - ?1
         where author_id = (select id from authors where name = ?2)"
    );
    let aged = sqlx::query(AssertSqlSafe(statement))
        .bind(by)
        .bind(name)
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(aged.rows_affected(), 1);
    connection.close().await.unwrap();
}

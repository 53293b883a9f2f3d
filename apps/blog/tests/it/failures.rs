//! Failed sign-ins and sign-ups are limited, and nothing else is.

use std::time::Duration;

use crate::client::{Answer, PASSWORD};
use crate::eventually::eventually;
use crate::site::Site;

#[tokio::test]
async fn twenty_sign_ins_in_a_minute_succeed() {
    let site = Site::shared().await;
    let author = site.author().await;
    let client = site.client();
    for _ in 0..20 {
        client.sign_in(&author.name, PASSWORD).await.expect_status(201);
    }
}

#[tokio::test]
async fn who_guesses_has_to_wait_and_then_may_sign_in() {
    let site = Site::shared().await;
    let author = site.author().await;
    let (guesser, elsewhere) = (site.client(), site.client());
    let refused = limited(async || guesser.sign_in(&author.name, "a guess").await, 401).await;
    expect_short_wait(&refused);
    // Not even the right password, or one could guess on; but only from there.
    guesser.sign_in(&author.name, PASSWORD).await.expect_problem(429);
    elsewhere.sign_in(&author.name, PASSWORD).await.expect_status(201);
    eventually("the delay ends", Duration::from_secs(31), async || {
        (guesser.sign_in(&author.name, PASSWORD).await.status == 201).then_some(())
    })
    .await;
    guesser.sign_in(&author.name, "a guess").await.expect_problem(401);
}

#[tokio::test]
async fn who_tries_taken_names_has_to_wait() {
    let site = Site::shared().await;
    let author = site.author().await;
    let client = site.client();
    let refused = limited(async || client.sign_up(&author.name, PASSWORD).await, 409).await;
    expect_short_wait(&refused);
}

#[tokio::test]
async fn who_tries_many_names_has_to_wait() {
    let site = Site::shared().await;
    let client = site.client();
    let mut number = 0;
    let guess = async || {
        number += 1;
        client.sign_in(&format!("nobody-{number}"), PASSWORD).await
    };
    expect_short_wait(&limited(guess, 401).await);
    client.sign_in("nobody-else", PASSWORD).await.expect_problem(429);
}

#[tokio::test]
async fn guesses_that_come_at_once_are_counted_one_by_one() {
    let site = Site::shared().await;
    let author = site.author().await;
    let client = site.client();
    let mut guesses = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let (client, name) = (client.clone(), author.name.clone());
        guesses.spawn(async move { client.sign_in(&name, "a guess").await.status });
    }
    let statuses = guesses.join_all().await;
    let tried = statuses.iter().filter(|status| **status == 401).count();
    assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
    // A guess for each second that the hashing took may come on top.
    assert!((6..=12).contains(&tried), "{tried} of 30 were tried");
}

#[tokio::test]
async fn publishing_reading_and_searching_have_no_limit() {
    let site = Site::shared().await;
    let author = site.author().await;
    for _ in 0..100 {
        let id = author.publish("Many", "articles").await;
        author.client.get(&format!("/api/articles/{id}")).await.expect_status(200);
        author.client.get("/api/search?q=nothing-here").await.expect_status(200);
    }
    for _ in 0..30 {
        site.client().get("/api/audit").await.expect_status(200);
        site.client().get("/api/articles/0").await.expect_problem(404);
        site.client().publish("Not", "signed in").await.expect_problem(401);
    }
}

/// Repeats what fails with `status` until it is limited, which must not take long.
async fn limited(mut attempt: impl AsyncFnMut() -> Answer, status: u16) -> Answer {
    for _ in 0..100 {
        let answer = attempt().await;
        if answer.status == 429 {
            return answer;
        }
        answer.expect_problem(status);
    }
    panic!("a hundred failures are not limited");
}

#[track_caller]
fn expect_short_wait(answer: &Answer) {
    answer.expect_problem(429);
    let seconds: u64 = answer.header("retry-after").parse().expect("a number of seconds");
    assert!((1..=30).contains(&seconds), "{seconds} s");
}

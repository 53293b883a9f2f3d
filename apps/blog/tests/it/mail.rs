//! Receipts: a mail for each published article.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use consign_test::Random;

use crate::eventually::eventually;
use crate::process::Process;
use crate::site::{Place, Site};
use crate::smtp::MailServer;

const WRITTEN_WITHIN: Duration = Duration::from_secs(30);
/// Articles that a new site has, each with a receipt of its own.
const DEMO_ARTICLES: usize = 15;

/// A mail in the data directory.
pub(crate) struct Mail {
    /// The file's name without its end.
    id: String,
    pub(crate) text: String,
}

impl Mail {
    fn field(&self, name: &str) -> &str {
        let head = self.text.split("\r\n\r\n").next().unwrap();
        let line = head.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in {head}"))
    }
}

/// All that were written so far.
pub(crate) fn mails(place: &Place) -> Vec<Mail> {
    let Ok(folder) = std::fs::read_dir(place.data().join("mail")) else { return Vec::new() };
    let files = folder.map(|entry| entry.expect("it can be read").path());
    files
        .filter(|file| file.extension().is_some_and(|end| end == "eml"))
        .map(|file| Mail {
            id: file.file_stem().unwrap().to_str().unwrap().to_owned(),
            text: std::fs::read_to_string(&file).expect("a mail is there whole"),
        })
        .collect()
}

/// Waits for the one mail that holds `title`.
async fn mail(place: &Place, title: &str) -> Mail {
    eventually(&format!("a mail with {title:?}"), WRITTEN_WITHIN, async || {
        mails(place).into_iter().find(|mail| mail.text.contains(title))
    })
    .await
}

#[tokio::test]
async fn each_published_article_brings_its_author_a_receipt() {
    let site = Site::shared().await;
    let author = site.author().await;
    let title = "“Wool” & <loom>, \"quoted\": \u{1f9f6} naïve";
    let id = author.publish(title, "A text").await;
    let mail = mail(&site, title).await;
    assert_eq!(mail.field("To"), format!("{}@localhost", author.name));
    assert_eq!(mail.field("From"), "blog@localhost");
    assert_eq!(mail.field("Message-ID"), format!("<{}@blog.localhost>", mail.id));
    assert_eq!(mail.field("Content-Transfer-Encoding"), "8bit");
    assert_eq!(mail.field("Content-Type"), "text/plain; charset=utf-8");
    assert!(mail.text.contains(&format!("http://{}/articles/{id}\r\n", site.listen)));
    let folder = site.data().join("mail");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700, "nobody else on the machine reads mails");
    assert_eq!(mode(&folder.join(format!("{}.eml", mail.id))), 0o600);
    site.settled().await;
    let repeats = mails(&site).iter().filter(|mail| mail.text.contains(title)).count();
    assert_eq!(repeats, 1);
}

#[tokio::test]
async fn nothing_in_a_title_steers_the_mail() {
    let site = Site::shared().await;
    let author = site.author().await;
    author.publish("injected\r\nBcc: everybody@example.org\r\n\r\nAnother text", "x").await;
    author.publish("From injected Thu Jan  1 00:00:00 1970\n.\n", "x").await;
    for text in ["injected  Bcc: everybody@example.org    Another text", "  From injected Thu"] {
        let mail = mail(&site, text).await;
        let head = mail.text.split("\r\n\r\n").next().unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        assert!(!mail.text.lines().any(|line| line.starts_with("From ") || line == "."));
    }
}

#[tokio::test]
async fn an_article_published_before_the_first_mailer_has_a_receipt_and_a_deleted_one_has_none() {
    let place = Place::new();
    let _api = place.run(&["api"]);
    started(&place).await;
    let author = place.author().await;
    author.publish("Kept before", "x").await;
    let deleted = author.publish("Deleted before", "x").await;
    let path = format!("/api/articles/{deleted}");
    author.client.delete(&path).await.expect_status(204);
    let _mailer = place.run(&["worker", "mailer"]);
    caught_up(&place).await;
    let mails = mails(&place);
    assert_eq!(mails.len(), DEMO_ARTICLES + 1);
    assert!(mails.iter().any(|mail| mail.text.contains("Kept before")));
    assert!(!mails.iter().any(|mail| mail.text.contains("Deleted before")));
}

#[tokio::test]
async fn two_mailers_share_the_queue_and_kills_repeat_no_message_id() {
    let mut random = Random::new("mailers killed");
    let place = Place::new();
    let _api = place.run(&["api"]);
    let start = || place.run(&["worker", "mailer"]);
    let mut mailers = [start(), start()];
    started(&place).await;
    let mut authors = Vec::new();
    for _ in 0..8 {
        authors.push(place.author().await);
    }
    both_own(&place, &mailers).await;
    let mut titles = Vec::new();
    for round in 0..10 {
        for (number, author) in authors.iter().enumerate() {
            let title = format!("Round {round} of author {number}");
            author.publish(&title, "x").await;
            titles.push(title);
        }
        let killed = random.below(2);
        mailers[killed].kill();
        mailers[killed] = start();
    }
    both_own(&place, &mailers).await;
    caught_up(&place).await;
    let mails = mails(&place);
    assert_eq!(mails.len(), DEMO_ARTICLES + titles.len(), "a mail a message, none missing");
    let ids: BTreeSet<&str> = mails.iter().map(|mail| mail.field("Message-ID")).collect();
    assert_eq!(ids.len(), mails.len());
    for title in titles {
        let holding = mails.iter().filter(|mail| mail.text.contains(&format!("  {title}\r\n")));
        assert_eq!(holding.count(), 1, "{title}");
    }
}

#[tokio::test]
async fn with_a_mail_server_mails_go_there_also_once_it_has_refused_some() {
    let (server, place) = (MailServer::start(3).await, Place::new());
    let _api = place.run(&["api"]);
    started(&place).await;
    let author = place.author().await;
    author.publish("By \u{2709} SMTP", "x").await;
    let flags = ["worker", "mailer", "--smtp", &server.url(), "--url", "https://blog.example/"];
    let _mailer = place.run(&flags);
    caught_up(&place).await;
    assert!(!server.refuses(), "no refusal, no proof");
    let taken = server.taken();
    assert_eq!(taken.len(), DEMO_ARTICLES + 1, "each of them once");
    let mail = taken.iter().find(|mail| mail.contains("By \u{2709} SMTP")).expect("its receipt");
    assert!(mail.contains("https://blog.example/articles/"), "{mail}");
    assert!(mail.contains("@blog.localhost>\r\n"), "{mail}");
    assert!(!place.data().join("mail").exists());
}

#[tokio::test]
async fn a_mail_server_that_is_none_is_refused_at_the_start() {
    for part in [&[] as &[&str], &["api"], &["worker", "mailer"]] {
        let place = Place::new();
        let mut process = place.run(&[part, &["--smtp", "me:secret@nowhere"]].concat());
        assert_eq!(process.ended(Duration::from_secs(20)).await.code(), Some(1));
        let printed = process.printed();
        assert!(printed.contains("smtps://") && !printed.contains("secret"), "{printed}");
    }
}

async fn started(place: &Place) {
    let client = place.client();
    eventually("the API answers", WRITTEN_WITHIN, async || client.try_get("/api/audit").await)
        .await;
}

/// Waits until the mailer has passed everything and nothing waits for a retry.
async fn caught_up(place: &Place) {
    let client = place.client();
    eventually("the mailer has caught up", Duration::from_mins(1), async || {
        let mailer = mailer(&client.try_get("/api/subscriptions").await?.body)?;
        (mailer["lag"] == 0 && mailer["waiting"] == 0).then_some(())
    })
    .await;
}

async fn both_own(place: &Place, mailers: &[Process; 2]) {
    let client = place.client();
    let ids: BTreeSet<u64> = mailers.iter().map(|mailer| mailer.id().into()).collect();
    eventually("both mailers own a part", WRITTEN_WITHIN, async || {
        let mailer = mailer(&client.try_get("/api/subscriptions").await?.body)?;
        let owners = mailer["owners"].as_array()?.iter().filter_map(serde_json::Value::as_u64);
        (owners.collect::<BTreeSet<u64>>() == ids).then_some(())
    })
    .await;
}

fn mailer(body: &serde_json::Value) -> Option<serde_json::Value> {
    let mut subscriptions = body["subscriptions"].as_array()?.iter();
    subscriptions.find(|subscription| subscription["name"] == "mailer").cloned()
}

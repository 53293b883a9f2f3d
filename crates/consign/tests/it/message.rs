//! What `#[derive(Message)]` makes of structs and enums.

use consign::{Key, Kind, Message, Result};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize, Message)]
#[message(kind = "article.published", version = 2, topic = "articles", key = author_id)]
struct Published {
    article_id: i64,
    author_id: i64,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, Message)]
#[message(kind = "article.deleted", topic = "articles", key = (self.0 / 100))]
struct Deleted(i64);

#[derive(Debug, PartialEq, Serialize, Deserialize, Message)]
#[message(kind = "article.starred", topic = "articles", key = r#type)]
struct Starred {
    r#type: String,
}

#[derive(Debug, PartialEq, Message)]
enum ArticleEvent {
    Published(Published),
    Deleted(Deleted),
}

/// An enum of messages is a message, so it may stand in another one.
#[derive(Debug, PartialEq, Message)]
enum AnyEvent {
    Article(ArticleEvent),
    Starred(Starred),
}

#[derive(Debug, PartialEq, Serialize, Deserialize, Message)]
#[message(kind = "heartbeat")]
struct Heartbeat;

fn published() -> Published {
    Published { article_id: 7, author_id: 3, tags: vec!["rust".into()] }
}

#[test]
fn a_struct_is_of_one_kind_and_its_key_is_a_field() -> Result<()> {
    let message = published();
    assert_eq!(Published::TOPIC, "articles");
    assert_eq!(message.kind(), Kind { name: "article.published", version: 2 });
    assert_eq!(message.key()?, Some(Key::new("3")?));
    Ok(())
}

#[test]
fn a_key_may_be_an_expression_or_a_raw_name() -> Result<()> {
    assert_eq!(Deleted(1_234).key()?, Some(Key::new("12")?));
    assert_eq!(Starred { r#type: "gold".into() }.key()?, Some(Key::new("gold")?));
    Ok(())
}

#[test]
fn without_topic_version_and_key_the_kind_is_the_topic_and_nothing_is_ordered() -> Result<()> {
    assert_eq!(Heartbeat::TOPIC, "heartbeat");
    assert_eq!(Heartbeat::KINDS, [Kind { name: "heartbeat", version: 1 }]);
    assert_eq!(Heartbeat.key()?, None);
    Ok(())
}

#[test]
fn a_message_is_read_as_it_was_written() -> Result<()> {
    let payload = published().encode()?;
    assert_eq!(Published::decode("article.published", 2, &payload)?, published());
    Ok(())
}

#[test]
fn an_older_version_is_read_with_defaults_and_a_newer_one_is_refused() -> Result<()> {
    let older = br#"{"article_id":7,"author_id":3}"#;
    let read = Published::decode("article.published", 1, older)?;
    assert_eq!(read, Published { tags: Vec::new(), ..published() });
    let refused = Published::decode("article.published", 3, older).unwrap_err();
    assert_eq!(refused.code(), "newer-version");
    Ok(())
}

#[test]
fn the_stored_kind_chooses_the_variant_of_an_enum() -> Result<()> {
    for message in [ArticleEvent::from(published()), ArticleEvent::from(Deleted(9))] {
        let (kind, payload) = (message.kind(), message.encode()?);
        assert_eq!(ArticleEvent::decode(kind.name, kind.version, &payload)?, message);
    }
    let refused = ArticleEvent::decode("article.edited", 1, b"{}").unwrap_err();
    assert_eq!(refused.code(), "unknown-kind");
    Ok(())
}

#[test]
fn an_enum_reads_the_kinds_of_all_its_variants() {
    let names = AnyEvent::KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>();
    assert_eq!(names, ["article.published", "article.deleted", "article.starred"]);
    assert_eq!(AnyEvent::TOPIC, "articles");
}

#[test]
fn an_enum_answers_for_the_message_it_holds() -> Result<()> {
    let inner = published();
    let (kind, key, payload) = (inner.kind(), inner.key()?, inner.encode()?);
    let outer = AnyEvent::from(ArticleEvent::from(inner));
    assert_eq!((outer.kind(), outer.key()?, outer.encode()?), (kind, key, payload));
    Ok(())
}

#[test]
fn a_key_over_255_bytes_is_refused() {
    let refused = Starred { r#type: "x".repeat(256) }.key().unwrap_err();
    assert_eq!(refused.code(), "key-too-long");
}
